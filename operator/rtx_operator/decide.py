"""What is to be done about a TradingEngine, from what was seen of it. Pure: no clock, no I/O, no memory.

An installation is a chain of checks, each of which says what it waits for, or nothing. Everything is asked again each
time: nothing is remembered but the colour that is active. The first check that is not passed is the engine's Ready
condition, so the order is the order in which a person would look for the cause.
"""

from collections.abc import Callable
from dataclasses import dataclass

from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import Reason
from rtx_operator.api.names import REQUIRED_CREDENTIALS
from rtx_operator.api.status import Active
from rtx_operator.diagnosis import diagnose
from rtx_operator.observation import Fence, Object, Observation, Owner, replicas
from rtx_operator.plan import Plan, Workload


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the engine waits for; `stalled` when it will not go on without somebody's help."""

    reason: Reason
    message: str
    stalled: bool = False


@dataclass(frozen=True, slots=True)
class Scale:
    """Set the size of a Deployment that was just read."""

    deployment: Object
    replicas: int


@dataclass(frozen=True, slots=True)
class MoveFence:
    """Make the fence name `executors`, above `known_epoch`; the row remembers `cutover`."""

    executors: tuple[str, ...]
    known_epoch: int
    cutover: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What to carry out, in this order, and what to say."""

    apply: tuple[Object, ...]
    delete: tuple[Object, ...]
    scale: Scale | None
    move_fence: MoveFence | None
    verdict: Verdict | None  # None: everything is as it should be
    active: Active | None  # what status is to remember
    ready: tuple[int, int]  # (desired, ready) engine pods


def decide(engine: TradingEngine, plan: Plan, seen: Observation) -> Decision:
    """The whole decision; a paused engine is looked at, and nothing of it is changed."""
    verdict = next((verdict for check in _CHECKS if (verdict := check(engine, plan, seen))), None)
    deployment = seen.child(plan.engine.kind, plan.engine.name)
    active = _active(engine, plan, seen, verdict)
    if engine.spec.paused:
        return Decision((), (), None, None, verdict, active, replicas(deployment))
    return Decision(
        apply=_wanted(engine, plan, seen),
        delete=_obsolete(engine, plan, seen),
        scale=_scale(plan, deployment),
        move_fence=_move_fence(engine, plan, seen),
        verdict=verdict,
        active=active,
        ready=replicas(deployment),
    )


# --- the chain -------------------------------------------------------------------------------------------------------


def _credentials(_: TradingEngine, plan: Plan, seen: Observation) -> Verdict | None:
    name = plan.credentials_name
    if not name:
        return None
    if seen.credentials is None:
        return Verdict(
            Reason.CREDENTIALS_MISSING,
            f"Secret {name}, named by spec.credentialsSecretRef, does not exist in this namespace; create it, or leave "
            "spec.credentialsSecretRef out to have credentials generated",
            stalled=True,
        )
    missing = [key for key in REQUIRED_CREDENTIALS if not (seen.credentials.get("data") or {}).get(key)]
    if not missing:
        return None
    return Verdict(
        Reason.CREDENTIALS_MISSING, f"Secret {name} lacks {', '.join(missing)}; add what is missing", stalled=True
    )


def _database_up(_: TradingEngine, plan: Plan, seen: Observation) -> Verdict | None:
    return _workload_up(seen, plan.database, Reason.DATABASE_STARTING, "the database")


def _cache_up(_: TradingEngine, plan: Plan, seen: Observation) -> Verdict | None:
    return _workload_up(seen, plan.cache, Reason.CACHE_STARTING, "the cache")


def _workload_up(seen: Observation, workload: Workload, waiting: Reason, what: str) -> Verdict | None:
    desired, ready = replicas(seen.child(workload.kind, workload.name))
    if desired and ready >= desired:
        return None
    return _found(seen, workload) or Verdict(waiting, f"waiting for {what}: {ready} of {desired or 1} pods ready")


def _database_answers(_: TradingEngine, plan: Plan, seen: Observation) -> Verdict | None:
    report = seen.database
    if report is not None and not report.error:
        return None
    said = report.error if report else "it was not asked yet"
    return Verdict(
        Reason.DATABASE_UNREACHABLE,
        f"the database's pod is ready but does not serve the operator: {said}; see kubectl logs {plan.database.name}-0",
    )


def _database_ours(engine: TradingEngine, _: Plan, seen: Observation) -> Verdict | None:
    fence = _fence(seen)
    if fence is None or _owner(engine).owns(fence):
        return None
    return Verdict(
        Reason.DATABASE_IN_USE,
        f"the database belongs to the TradingEngine {fence.owner}; give this one a database of its own",
        stalled=True,
    )


def _fence_names_active(engine: TradingEngine, plan: Plan, seen: Observation) -> Verdict | None:
    if _move_fence(engine, plan, seen) is None:
        return None
    return Verdict(
        Reason.FENCE_MOVING, f"the database does not name colour {plan.active.colour} as its executor yet; moving it"
    )


def _migrated(engine: TradingEngine, plan: Plan, seen: Observation) -> Verdict | None:
    if _is_installed(engine, plan):
        return None
    job = seen.child(plan.migrator.kind, plan.migrator.name)
    if _ended(job, "Complete"):
        return None
    failed = _ended(job, "Failed")
    if failed and not _out_of_time(job):
        return Verdict(
            Reason.MIGRATION_FAILED,
            f"migration Job {plan.migrator.name} failed ({failed.get('message', 'no detail given')}); see kubectl logs "
            f"job/{plan.migrator.name}, put right what it says and delete the Job to try again",
            stalled=True,
        )
    again = " (its time was over: it is started again)" if failed else ""
    return _found(seen, plan.migrator) or Verdict(
        Reason.MIGRATING, f"waiting for migration Job {plan.migrator.name} to end{again}"
    )


def _ended(job: Object | None, how: str) -> Object | None:
    """The Job's condition Complete or Failed, when it is true."""
    conditions: list[Object] = (job or {}).get("status", {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == how and one["status"] == "True"), None)


def _out_of_time(job: Object | None) -> bool:
    """Its deadline ended it, perhaps before it ever ran, for want of an image: no verdict on the migration itself."""
    failed = _ended(job, "Failed")
    return failed is not None and failed.get("reason") == "DeadlineExceeded"


def _engine_up(engine: TradingEngine, plan: Plan, seen: Observation) -> Verdict | None:
    desired, ready = replicas(seen.child(plan.engine.kind, plan.engine.name))
    # The first time all pods must be there; later on the engine serves as long as one of them does.
    enough = 1 if _is_installed(engine, plan) else max(plan.minimum, desired)
    if ready >= enough:
        return None
    return _found(seen, plan.engine) or Verdict(
        Reason.ENGINE_STARTING, f"waiting for the engine: {ready} of {max(plan.minimum, desired)} pods ready"
    )


def _live(_: TradingEngine, plan: Plan, seen: Observation) -> Verdict | None:
    if seen.serving(plan.live_service):
        return None
    return Verdict(Reason.ENDPOINTS_PENDING, f"Service {plan.live_service} has no ready endpoint yet")


_Check = Callable[[TradingEngine, Plan, Observation], Verdict | None]
_BEFORE_MIGRATION: tuple[_Check, ...] = (
    _credentials,
    _database_up,
    _cache_up,
    _database_answers,
    _database_ours,
    _fence_names_active,
)
_BEFORE_COLOUR: tuple[_Check, ...] = (*_BEFORE_MIGRATION, _migrated)
_CHECKS: tuple[_Check, ...] = (*_BEFORE_COLOUR, _engine_up, _live)


def _found(seen: Observation, workload: Workload) -> Verdict | None:
    finding = diagnose(seen, workload)
    return None if finding is None else Verdict(finding.reason, finding.message, stalled=True)


# --- what follows from it --------------------------------------------------------------------------------------------


def _is_installed(engine: TradingEngine, plan: Plan) -> bool:
    """The plan's colour has been brought up once: its migration is done, its Deployment may be repaired any time."""
    return engine.status.active is not None and engine.status.active.pod_hash == plan.active.pod_hash


def _passed(checks: tuple[_Check, ...], engine: TradingEngine, plan: Plan, seen: Observation) -> bool:
    return not any(check(engine, plan, seen) for check in checks)


def _wanted(engine: TradingEngine, plan: Plan, seen: Observation) -> tuple[Object, ...]:
    if _credentials(engine, plan, seen):
        return ()  # every pod would hang on the missing Secret
    if _is_installed(engine, plan):
        return (*plan.foundation, *plan.colour_objects)
    wanted = plan.foundation
    if _passed(_BEFORE_MIGRATION, engine, plan, seen):
        wanted += plan.migration
    if _passed(_BEFORE_COLOUR, engine, plan, seen):
        wanted += plan.colour_objects
    return wanted


# Kinds that may outlive their use. What holds data, serves traffic or runs pods is never deleted for being unnamed.
_EXPENDABLE = {
    "ConfigMap",
    "ControllerRevision",
    "HorizontalPodAutoscaler",
    "Job",
    "NetworkPolicy",
    "PodDisruptionBudget",
}


def _obsolete(engine: TradingEngine, plan: Plan, seen: Observation) -> tuple[Object, ...]:
    """Our own children that the plan does not name any more (an autoscaler switched off, a Job of another version),
    and a Job that its deadline ended, so that it is made anew.
    """
    named = {
        (wanted["kind"], wanted["metadata"]["name"])
        for wanted in (*plan.foundation, *plan.migration, *plan.colour_objects)
    }
    return tuple(
        child
        for key, child in seen.children.items()
        if key[0] in _EXPENDABLE
        and (key not in named or (key[0] == plan.migrator.kind and _out_of_time(child)))
        and not child["metadata"].get("deletionTimestamp")
        and any(
            reference["uid"] == engine.uid and reference.get("controller")
            for reference in child["metadata"].get("ownerReferences", [])
        )
    )


def _scale(plan: Plan, deployment: Object | None) -> Scale | None:
    """Bring the size within its bounds; within them it is the autoscaler's, or the person's who set it."""
    if deployment is None:
        return None
    size = int(deployment["spec"].get("replicas", 1))
    bounded = min(max(size, plan.minimum), plan.maximum)
    return None if size == bounded else Scale(deployment, bounded)


def _fence(seen: Observation) -> Fence | None:
    return seen.database.fence if seen.database else None


def _move_fence(engine: TradingEngine, plan: Plan, seen: Observation) -> MoveFence | None:
    """The database is the authority; what it forgot, or never knew, is put right by a higher epoch."""
    if seen.database is None or seen.database.error:
        return None
    fence = seen.database.fence
    executors = (plan.active.colour,)
    known = engine.status.active.epoch if engine.status.active else 0
    if fence is not None:
        if not _owner(engine).owns(fence):
            return None
        # An engine that was deleted and applied again has a new uid: pods of the old one must not go on executing.
        if fence.owner == str(_owner(engine)) and fence.executors == executors and fence.epoch >= known:
            return None
    return MoveFence(executors, known, f"install-{engine.uid}-{known}")


def _active(engine: TradingEngine, plan: Plan, seen: Observation, verdict: Verdict | None) -> Active | None:
    """A colour becomes active when all checks are passed; from then on only its epoch follows the database."""
    before = engine.status.active
    if before is None and verdict is not None:
        return None
    fence, known = _fence(seen), before.epoch if before else 0
    epoch = max(known, fence.epoch) if fence and _owner(engine).owns(fence) else known
    return Active(
        colour=plan.active.colour,
        version=plan.active.version,
        digest=plan.active.digest,
        config_hash=plan.active.config_hash,
        pod_hash=plan.active.pod_hash,
        epoch=epoch,
    )


def _owner(engine: TradingEngine) -> Owner:
    return Owner(engine.namespace, engine.name, engine.uid)
