"""What is to be done about a TradingEngine, from what was seen of it. Pure: no clock, no I/O, no state.

An installation is a chain of checks, each of which says what it waits for, or nothing. Everything is asked again each
time: nothing is remembered but the colour that is active. The first check that is not passed is the engine's Ready
condition, so the order is the order in which a person would look for the cause.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import Phase, PreviousState, Reason
from rtx_operator.api.names import REQUIRED_CREDENTIALS, Label
from rtx_operator.api.status import Active, Cutover
from rtx_operator.cutover.advance import Advance, advance
from rtx_operator.cutover.checks import Unmet
from rtx_operator.cutover.effects import Effect, EffectName, MoveFence, Scale
from rtx_operator.cutover.retirement import contract_failure
from rtx_operator.cutover.state import PersistedState
from rtx_operator.desired.state import DesiredState, Workload, job_workload
from rtx_operator.diagnosis import diagnose
from rtx_operator.observation import Fence, JobEnd, Object, Observation, Owner, job_ended, replicas


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the engine waits for; `stalled` when it will not go on without somebody's help."""

    reason: Reason
    message: str
    stalled: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What to carry out, in this order, and what to say."""

    apply: tuple[Object, ...]
    delete: tuple[Object, ...]
    effects: tuple[Effect, ...]
    verdict: Verdict | None  # None: everything is as it should be
    state: PersistedState  # what status is to remember
    entered: Phase | None  # the phase that a cutover comes to with this decision
    waits: Unmet | None  # what the cutover waits for
    contract_failure: str  # why the contract migrations failed, while a colour is taken away
    ready: tuple[int, int]  # (desired, ready) engine pods


def decide(engine: TradingEngine, desired: DesiredState, seen: Observation, now: datetime, cutover_id: str) -> Decision:
    """The whole decision; a paused engine is looked at, and nothing of it is changed.

    `cutover_id` names a cutover that begins now.
    """
    verdict = _first(_CHECKS, engine, desired, seen)
    ready = replicas(seen.child(desired.engine.kind, desired.engine.name))
    if engine.spec.paused:
        return Decision((), (), (), verdict, PersistedState.of(engine.status), None, None, "", ready)
    held = _first(_BEFORE_MIGRATION, engine, desired, seen)
    step = advance(engine, desired, seen, now, cutover_id=cutover_id, held=held.message if held else "")
    return Decision(
        apply=_wanted(engine, desired, seen),
        delete=_obsolete(engine, desired, seen),
        effects=_effects(engine, desired, seen, step),
        verdict=verdict,
        state=_remembered(engine, desired, seen, step, verdict),
        entered=step.entered,
        waits=step.waits,
        contract_failure=_contract_failure(step.state, desired, seen),
        ready=ready,
    )


def _contract_failure(state: PersistedState, desired: DesiredState, seen: Observation) -> str:
    if state.previous is None or state.previous.state is not PreviousState.RETIRING:
        return ""
    said = contract_failure(desired, seen)
    name = desired.active.contract["metadata"]["name"]
    return said and (
        f"the contract migration Job {name} failed: {said}; see kubectl logs job/{name}, put right what it says and "
        "delete the Job to try again"
    )


# --- the chain -------------------------------------------------------------------------------------------------------


def _credentials(_: TradingEngine, desired: DesiredState, seen: Observation) -> Verdict | None:
    name = desired.credentials_name
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


def _database_up(_: TradingEngine, desired: DesiredState, seen: Observation) -> Verdict | None:
    return _workload_up(seen, desired.database, Reason.DATABASE_STARTING, "the database")


def _cache_up(_: TradingEngine, desired: DesiredState, seen: Observation) -> Verdict | None:
    return _workload_up(seen, desired.cache, Reason.CACHE_STARTING, "the cache")


def _workload_up(seen: Observation, workload: Workload, waiting: Reason, what: str) -> Verdict | None:
    size, ready = replicas(seen.child(workload.kind, workload.name))
    if size and ready >= size:
        return None
    return _found(seen, workload) or Verdict(waiting, f"waiting for {what}: {ready} of {size or 1} pods ready")


def _database_answers(_: TradingEngine, desired: DesiredState, seen: Observation) -> Verdict | None:
    report = seen.database
    if report is not None and not report.error:
        return None
    said = report.error if report else "it was not asked yet"
    return Verdict(
        Reason.DATABASE_UNREACHABLE,
        f"the database's pod is ready but does not serve the operator: {said}; "
        f"see kubectl logs {desired.database.name}-0",
    )


def _database_ours(engine: TradingEngine, _: DesiredState, seen: Observation) -> Verdict | None:
    fence = _fence(seen)
    if fence is None or _owner(engine).owns(fence):
        return None
    return Verdict(
        Reason.DATABASE_IN_USE,
        f"the database belongs to the TradingEngine {fence.owner}; give this one a database of its own",
        stalled=True,
    )


def _fence_names_active(engine: TradingEngine, desired: DesiredState, seen: Observation) -> Verdict | None:
    fence, cutover = _fence(seen), PersistedState.of(engine.status).under_way
    if cutover and fence and fence.executors in {(one.colour.value,) for one in (cutover.from_, cutover.to)}:
        return None  # whoever is asked hands on to the one who executes
    if not _move_fence(engine, desired, seen):
        return None
    return Verdict(
        Reason.FENCE_MOVING, f"the database does not name colour {desired.active.colour} as its executor yet; moving it"
    )


def _migrated(engine: TradingEngine, desired: DesiredState, seen: Observation) -> Verdict | None:
    if _is_installed(engine, desired):
        return None
    name = desired.active.install["metadata"]["name"]
    job = seen.child("Job", name)
    if job_ended(job, JobEnd.COMPLETE):
        return None
    failed = job_ended(job, JobEnd.FAILED)
    if failed and not _out_of_time(job):
        return Verdict(
            Reason.MIGRATION_FAILED,
            f"migration Job {name} failed ({failed.get('message', 'no detail given')}); see kubectl logs "
            f"job/{name}, put right what it says and delete the Job to try again",
            stalled=True,
        )
    again = " (its time was over: it is started again)" if failed else ""
    return _found(seen, job_workload(desired.active.install)) or Verdict(
        Reason.MIGRATING, f"waiting for migration Job {name} to end{again}"
    )


def _out_of_time(job: Object | None) -> bool:
    """Its deadline ended it, perhaps before it ever ran, for want of an image: no verdict on the migration itself."""
    failed = job_ended(job, JobEnd.FAILED)
    return failed is not None and failed.get("reason") == "DeadlineExceeded"


def _engine_up(engine: TradingEngine, desired: DesiredState, seen: Observation) -> Verdict | None:
    size, ready = replicas(seen.child(desired.engine.kind, desired.engine.name))
    # The first time all pods must be there; later on the engine serves as long as one of them does.
    enough = 1 if _is_installed(engine, desired) else max(desired.minimum, size)
    if ready >= enough:
        return None
    return _found(seen, desired.engine) or Verdict(
        Reason.ENGINE_STARTING, f"waiting for the engine: {ready} of {max(desired.minimum, size)} pods ready"
    )


def _live(_: TradingEngine, desired: DesiredState, seen: Observation) -> Verdict | None:
    if seen.serving(desired.live_service):
        return None
    return Verdict(Reason.ENDPOINTS_PENDING, f"Service {desired.live_service} has no ready endpoint yet")


_Check = Callable[[TradingEngine, DesiredState, Observation], Verdict | None]
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


def _is_installed(engine: TradingEngine, desired: DesiredState) -> bool:
    """The active colour was brought up once: its migration is done, its Deployment may be repaired at any time."""
    return engine.status.active is not None and engine.status.active.revision == desired.active.revision.hash


def _first(
    checks: tuple[_Check, ...], engine: TradingEngine, desired: DesiredState, seen: Observation
) -> Verdict | None:
    """The first check that is not passed."""
    return next((verdict for check in checks if (verdict := check(engine, desired, seen))), None)


def _passed(checks: tuple[_Check, ...], engine: TradingEngine, desired: DesiredState, seen: Observation) -> bool:
    return _first(checks, engine, desired, seen) is None


def _wanted(engine: TradingEngine, desired: DesiredState, seen: Observation) -> tuple[Object, ...]:
    """What must be as desired whatever happens; what a cutover changes right now is among its effects instead."""
    if _credentials(engine, desired, seen):
        return ()  # every pod would hang on the missing Secret
    if _is_installed(engine, desired):
        return (
            *desired.base_objects,
            *desired.active.objects,
            *_idle(engine, desired),
            *_routes(engine, desired, seen),
        )
    wanted = desired.base_objects
    if _passed(_BEFORE_MIGRATION, engine, desired, seen):
        wanted += (desired.active.install,)
    if _passed(_BEFORE_COLOUR, engine, desired, seen):
        route = desired.traffic[desired.active.colour]
        wanted += (*desired.active.objects, route.select, *route.promote)
    return wanted


_MOVES_THE_FENCE = frozenset({Phase.SWITCHING, Phase.ROLLING_BACK})  # and says itself who executes
_BOTH_COLOURS = frozenset({Phase.TESTING, Phase.AWAITING_APPROVAL, Phase.SWITCHING, Phase.MONITORING, Phase.PROMOTING})


def _idle(engine: TradingEngine, desired: DesiredState) -> tuple[Object, ...]:
    """The other colour, once it has been made and as long as it may be needed."""
    state = PersistedState.of(engine.status)
    cutover, previous = state.under_way, state.previous
    if desired.idle is None:
        return ()
    if cutover:
        return desired.idle.objects if cutover.phase in _BOTH_COLOURS else ()
    kept = (
        previous is not None
        and previous.state is PreviousState.KEPT
        and previous.revision == desired.idle.revision.hash
    )
    return desired.idle.objects if kept else ()


def _routes(engine: TradingEngine, desired: DesiredState, seen: Observation) -> tuple[Object, ...]:
    """The live Service, disruption budget and autoscaler, on the colours on which a cutover has put them."""
    state = PersistedState.of(engine.status)
    cutover = state.under_way
    if cutover is None:
        route = desired.traffic[desired.active.colour]
        return (route.select, *route.promote)
    selected = desired.selected(seen)
    moving = cutover.phase in _MOVES_THE_FENCE
    select = desired.traffic[selected if moving and selected else desired.active.colour].select
    return (select, *(() if cutover.phase is Phase.PROMOTING else desired.traffic[cutover.from_.colour].promote))


# Kinds that may outlive their use. What holds data, serves traffic or runs pods is never deleted for being unnamed.
_EXPENDABLE = {
    "ConfigMap",
    "ControllerRevision",
    "HorizontalPodAutoscaler",
    "Job",
    "NetworkPolicy",
    "PodDisruptionBudget",
}


def _obsolete(engine: TradingEngine, desired: DesiredState, seen: Observation) -> tuple[Object, ...]:
    """Our own children that are desired no longer (an autoscaler switched off, a Job of another version), and a Job
    that its deadline ended, so that it is made anew.
    """
    named = {(wanted["kind"], wanted["metadata"]["name"]) for wanted in _named(desired)}
    return tuple(
        child
        for key, child in seen.children.items()
        if key[0] in _EXPENDABLE
        and (key not in named or (key[0] == "Job" and _out_of_time(child)))
        and not _is_kept_for_its_logs(child, engine.status.cutover)
        and not child["metadata"].get("deletionTimestamp")
        and any(
            reference["uid"] == engine.uid and reference.get("controller")
            for reference in child["metadata"].get("ownerReferences", [])
        )
    )


def _is_kept_for_its_logs(job: Object, cutover: Cutover | None) -> bool:
    """The Jobs of the last cutover stay. One that never ran must not run when its cutover is over."""
    if cutover is None or job["metadata"].get("labels", {}).get(Label.CUTOVER.value) != cutover.id:
        return False
    return not cutover.phase.is_terminal or any(job_ended(job, end) for end in JobEnd)


def _named(desired: DesiredState) -> Iterator[Object]:
    yield from desired.base_objects
    yield from desired.borrowed_revision
    for colour in filter(None, (desired.active, desired.idle)):
        yield from colour.objects
        yield from colour.jobs
    for route in desired.traffic.values():
        yield from (route.select, *route.promote)


def _effects(engine: TradingEngine, desired: DesiredState, seen: Observation, step: Advance) -> tuple[Effect, ...]:
    """Who executes is put right before anything else is done; a cutover that moves the fence itself does it its way."""
    active = step.state.active
    turns = active is not None and active.colour is not desired.active.colour  # with this very look
    if turns or any(isinstance(effect, MoveFence) for effect in step.effects):
        return step.effects
    return _move_fence(engine, desired, seen) or (*_scale(desired, seen), *step.effects)


def _scale(desired: DesiredState, seen: Observation) -> tuple[Effect, ...]:
    """Bring the size within its bounds; within them it is the autoscaler's, or the person's who set it."""
    deployment = seen.child(desired.engine.kind, desired.engine.name)
    if deployment is None:
        return ()
    size = int(deployment["spec"].get("replicas", 1))
    bounded = min(max(size, desired.minimum), desired.maximum)
    return () if size == bounded else (Scale(EffectName.RESIZE, deployment, bounded),)


def _fence(seen: Observation) -> Fence | None:
    return seen.database.fence if seen.database else None


def _move_fence(engine: TradingEngine, desired: DesiredState, seen: Observation) -> tuple[Effect, ...]:
    """The database is the authority; what it forgot, or never knew, is put right by a higher epoch.

    In Switching and RollingBack the cutover itself says which colour executes, and when.
    """
    cutover = PersistedState.of(engine.status).under_way
    if seen.database is None or seen.database.error:
        return ()
    if cutover and cutover.phase in _MOVES_THE_FENCE:
        return ()
    fence = seen.database.fence
    executors = (desired.active.colour.value,)
    known = engine.status.active.epoch if engine.status.active else 0
    if fence is not None:
        if not _owner(engine).owns(fence):
            return ()
        # An engine that was deleted and applied again has a new uid: pods of the old one must not go on executing.
        if fence.owner == str(_owner(engine)) and fence.executors == executors and fence.epoch >= known:
            return ()
    move = f"install-{engine.uid}-{known}"
    return (MoveFence(executors, known, fence.epoch if fence else None, move),)


def _remembered(
    engine: TradingEngine, desired: DesiredState, seen: Observation, step: Advance, verdict: Verdict | None
) -> PersistedState:
    """A colour becomes active when all checks are passed; from then on only its epoch follows the database."""
    active = step.state.active
    fence = _fence(seen)
    epoch = fence.epoch if fence and _owner(engine).owns(fence) else 0
    if active is not None:
        return step.state.with_active(active.model_copy(update={"epoch": max(active.epoch, epoch)}))
    if verdict is not None:
        return step.state
    revision = desired.active.revision
    first = Active(
        colour=desired.active.colour,
        version=revision.version,
        digest=revision.digest,
        config_hash=revision.config_hash,
        revision=revision.hash,
        epoch=epoch,
    )
    return step.state.with_active(first)


def _owner(engine: TradingEngine) -> Owner:
    return Owner(engine.namespace, engine.name, engine.uid)
