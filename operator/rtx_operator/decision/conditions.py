"""The status that is written: conditions as kstatus defines them, and what the operator must remember."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from rtx_operator.api.engine import InvalidSpecError, OperatorTooOldError, TradingEngine, UnknownActiveError
from rtx_operator.api.enums import (
    Component,
    ConditionStatus,
    ConditionType,
    CutoverPhase,
    OperationName,
    Reason,
    RestorePhase,
    RetirementPhase,
)
from rtx_operator.api.names import REFRESH, RETRY
from rtx_operator.api.schema import ApiModel
from rtx_operator.api.status import Active, Cutover, Maintenance, Restore, Retirement
from rtx_operator.decision.decide import Decision
from rtx_operator.desired.state import DesiredState
from rtx_operator.observation import Object
from rtx_operator.operations.arbiter import moving
from rtx_operator.operations.state import PersistedState
from rtx_operator.results import Dispute, Failure, Unmet, Waiting

NOTHING_LEFT = "nothing is left to do"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition as it is now."""

    type: ConditionType
    status: bool
    reason: Reason
    message: str


def after_decision(
    before: Object,
    engine: TradingEngine,
    desired: DesiredState,
    decision: Decision,
    refusal: Unmet | None,
    now: datetime,
) -> Object:
    """The status that follows from a decision; `refusal` is what the API server did not let be carried out."""
    size, ready = decision.ready
    others = {
        field: value for field, value in before.items() if field not in (*_REMEMBERED, "databaseCluster", "backup")
    }
    if decision.cluster:
        others["databaseCluster"] = decision.cluster.model_dump(mode="json", by_alias=True, exclude_none=True)
    replicas = {"replicas": {"desired": size, "ready": ready}, "pods": f"{ready}/{size}"}
    status: Object = {**others, **_remembered(decision.state), **replicas}
    backups = decision.backups
    if backups.known:
        status["backup"] = _plain(backups.known)
    fresh = Condition(ConditionType.BACKUP_FRESH, backups.is_fresh, backups.reason, backups.message)
    conditions = [*_progress(decision, refusal), _up_to_date(desired, decision), _cache_available(decision), fresh]
    if redundant := _database_redundant(desired, decision):
        conditions.append(redundant)
    else:
        status["conditions"] = [
            one for one in before.get("conditions") or [] if one["type"] != ConditionType.DATABASE_REDUNDANT
        ]
    return _with(status, engine.generation, conditions, now)


def after_unmet(before: Object, generation: int, unmet: Unmet, now: datetime) -> Object:
    """The status when there was no decision, or not all of it could be carried out: the engine is not ready."""
    is_stalled, reason = isinstance(unmet, Failure), _reason(unmet)
    conditions = [
        Condition(ConditionType.READY, False, reason, unmet.message),
        Condition(ConditionType.RECONCILING, not is_stalled, reason, unmet.message),
        Condition(ConditionType.STALLED, is_stalled, reason, unmet.message),
    ]
    return _with(dict(before), generation, conditions, now)


def after_error(before: Object, generation: int, message: str, now: datetime) -> Object:
    """The status after an error on the operator's side: whether the engine is ready is not known to have changed."""
    failed = Condition(ConditionType.RECONCILING, True, Reason.RECONCILE_FAILED, f"{message}; trying again")
    return _with(dict(before), generation, [failed], now)


_HANDS_OFF = MappingProxyType(
    {
        InvalidSpecError: Reason.INVALID_SPEC,
        OperatorTooOldError: Reason.OPERATOR_TOO_OLD,
        UnknownActiveError: Reason.UNKNOWN_ACTIVE,
    }
)


def after_hands_off(
    before: Object,
    generation: int,
    error: InvalidSpecError | OperatorTooOldError | UnknownActiveError,
    now: datetime,
    refusal: Unmet | None = None,
) -> Object:
    """The status while the operator must not touch the engine, because it cannot read what is asked or what runs.

    Nothing is observed meanwhile: no time counts, as in a pause (ADR 0038), and what is ready stays so. `refusal` is
    what keeps data from being kept.
    """
    status = {"pausedSince": _instant(now), **before}
    message = f"{error}; deletionPolicy Retain has no effect yet: {refusal.message}" if refusal else str(error)
    reason = _HANDS_OFF[type(error)]
    conditions = [
        Condition(ConditionType.RECONCILING, False, reason, message),
        Condition(ConditionType.STALLED, True, reason, message),
    ]
    if not any(condition["type"] == ConditionType.READY for condition in before.get("conditions") or []):
        conditions.append(Condition(ConditionType.READY, False, reason, message))
    return _with(status, generation, conditions, now)


def after_disputes(status: Object, generation: int, disputes: Sequence[Dispute], now: datetime) -> Object:
    """The status with what is known of other managers; unchanged while none ever changed anything again and again.

    The message names no number and no time, so that it is written once.
    """
    told = any(condition["type"] == ConditionType.DISPUTED for condition in status.get("conditions") or [])
    if not disputes and not told:
        return status
    causes = "; ".join(f"{_managers(one)} keeps changing {one.kind} {one.name}" for one in disputes)
    remedy = (
        "make it leave the object alone. The operator restores what traffic depends on at once, the rest ever later"
    )
    message = f"{causes}: {remedy}" if disputes else "no other manager changes the engine's objects"
    reason = Reason.OTHER_MANAGER if disputes else Reason.DONE
    return _with(status, generation, [Condition(ConditionType.DISPUTED, bool(disputes), reason, message)], now)


def _managers(dispute: Dispute) -> str:
    return f"manager {' and manager '.join(dispute.managers)}" if dispute.managers else "somebody"


def is_at_rest(manifest: Object) -> bool:
    """Whether the engine is ready, and its spec is as it was then, by what is stored."""
    status, ready = manifest.get("status") or {}, (ConditionType.READY, ConditionStatus.TRUE)
    is_ready = any((one.get("type"), one.get("status")) == ready for one in status.get("conditions") or ())
    return is_ready and status.get("observedGeneration") == manifest["metadata"].get("generation")


def database_unreachable(message: str) -> Unmet:
    """The database gave no answer when the fence was to move."""
    return Waiting(message, Reason.DATABASE_UNREACHABLE)


def database_in_use(message: str) -> Unmet:
    """The fence belongs to another TradingEngine."""
    return Failure(message, Reason.DATABASE_IN_USE)


def _progress(decision: Decision, refusal: Unmet | None) -> Iterable[Condition]:
    size, ready = decision.ready
    scaling = decision.below_size
    pods = scaling.message if scaling else f"{ready} of {size} engine pods ready"
    operations = _of_operations(decision)
    stuck = operations if operations and operations.reason is Reason.CANNOT_ROLL_BACK else None
    unready = decision.unready and (stuck or refusal or decision.unready)
    if unready is None:
        yield Condition(ConditionType.READY, True, Reason.SCALING if scaling else Reason.SERVING, pods)
    else:
        yield Condition(ConditionType.READY, False, _reason(unready), unready.message)
    pending = stuck or unready or refusal or operations or decision.database_waits or scaling or decision.without_cache
    if decision.pause:
        yield Condition(ConditionType.RECONCILING, False, Reason.PAUSED, decision.pause)
        yield Condition(ConditionType.STALLED, False, Reason.DONE, NOTHING_LEFT)
        return
    moving = pending or Waiting(NOTHING_LEFT, Reason.DONE)
    stalled = pending if isinstance(pending, Failure) else None
    yield Condition(ConditionType.RECONCILING, isinstance(pending, Waiting), _reason(moving), moving.message)
    yield Condition(
        ConditionType.STALLED,
        stalled is not None,
        stalled.reason if stalled else Reason.DONE,
        stalled.message if stalled else NOTHING_LEFT,
    )


def _cache_available(decision: Decision) -> Condition:
    unmet = decision.without_cache or Waiting("the cache is ready", Reason.CACHE_READY)
    serves = unmet.reason in {Reason.CACHE_READY, Reason.CACHE_DEGRADED}
    return Condition(ConditionType.CACHE_AVAILABLE, serves, _reason(unmet), unmet.message)


def _database_redundant(desired: DesiredState, decision: Decision) -> Condition | None:
    """Absent for one server, which the loss of its node takes away."""
    size, cluster = desired.servers[Component.DATABASE].size, decision.cluster
    if size == 1 or cluster is None:
        return None
    if unmet := decision.redundant:
        return Condition(ConditionType.DATABASE_REDUNDANT, False, _reason(unmet), unmet.message)
    message = f"{size} of {size} database servers are in sync; {cluster.primary} leads"
    return Condition(ConditionType.DATABASE_REDUNDANT, True, Reason.IN_SYNC, message)


def _of_operations(decision: Decision) -> Unmet | None:
    """What operations wait for, or what one that is over leaves for a person to do."""
    state = decision.state
    kept = state.previous.message if state.previous else ""
    restore = state.restore_under_way
    if restore:
        return _of_restore(restore, decision.waits)
    return _under_way(decision) or _left_over(state) or (Waiting(kept, Reason.RETIRING) if kept else None)


def _under_way(decision: Decision) -> Waiting | Failure | None:
    state, waits = decision.state, decision.waits
    cutover, maintenance, retirement = state.cutover_under_way, state.maintenance_under_way, state.retirement_under_way
    if maintenance and (moving(state) is OperationName.MAINTENANCE or not (cutover or retirement)):
        return Waiting(_course_of_maintenance(maintenance), Reason.MAINTENANCE_IN_PROGRESS)
    if cutover:
        message = _course(cutover, decision)
        is_stuck = cutover.phase is CutoverPhase.ROLLING_BACK and isinstance(waits, Failure)
        if is_stuck:
            return Failure(message, Reason.CANNOT_ROLL_BACK)
        own_reason = waits.reason if isinstance(waits, Waiting) else None
        return Waiting(message, own_reason or Reason.CUTOVER_IN_PROGRESS)
    if retirement and retirement.last_try:
        return _failed_retirement(retirement, retirement.last_try.reason, retirement.last_try.message)
    if retirement:
        cause = f": {waits.message}" if waits else ""
        return Waiting(
            f"retirement of version {retirement.release.version} is {retirement.phase}{cause}", Reason.RETIRING
        )
    return None


def _of_restore(restore: Restore, waits: Unmet | None) -> Waiting | Failure:
    """A failure leads back by itself, but where only a person can help."""
    cause = waits.message if waits else restore.message
    message = f"restore {restore.name} is {restore.phase}" + (f": {cause}" if cause else "")
    stays = restore.phase in {RestorePhase.RESUMING, RestorePhase.UNDOING} and isinstance(waits, Failure)
    return Failure(message, Reason.RESTORING) if stays else Waiting(message, Reason.RESTORING)


def _left_over(state: PersistedState) -> Failure | None:
    retirement, rejected = state.retirement, state.rejected
    if retirement and retirement.phase is RetirementPhase.FAILED and retirement.reason != Reason.SUPERSEDED:
        return _failed_retirement(retirement, retirement.reason, retirement.message)
    if rejected:
        return Failure(f"version {rejected.version} was rolled back: {rejected.message}", Reason.REJECTED)
    return _failed_maintenance(state)


def _failed_maintenance(state: PersistedState) -> Failure | None:
    for component, server in state.servers.items():
        if failed := server.failed:
            return Failure(
                f"the {component} is not changed: {failed.message}. Change spec.{component}, or give the annotation "
                f"{RETRY} a new value to retry",
                _known(failed.reason, Reason.CHECK_FAILED),
            )
    return None


def _course_of_maintenance(maintenance: Maintenance) -> str:
    """The maintenance's phase, and what it waits for."""
    waits = f": {maintenance.message}" if maintenance.message else ""
    return f"maintenance of the {maintenance.component} is {maintenance.phase}{waits}"


def _failed_retirement(retirement: Retirement, reason: str, message: str) -> Failure:
    """Also while it is tried again: what failed once is over when it has passed."""
    # Not the retry annotation: it would retry a rejected version as well.
    retry = "correct the cause and delete the Job to retry"
    if not retirement.phase.is_terminal:
        retry = f"it is tried again now, and is {retirement.phase}"
    elif reason != Reason.CONTRACT_FAILED:
        retry = "the operator retries every ten minutes"
    return Failure(
        f"version {retirement.release.version} is not removed: {message}; {retry}. "
        "The next upgrade does not wait for it",
        _known(reason, Reason.RETIRING),
    )


_REMEMBERED = (
    "pausedSince",
    "active",
    "earlierData",
    "database",
    "cache",
    "restore",
    "cutover",
    "maintenance",
    "previous",
    "retirement",
    "rejected",
    "history",
)


def _remembered(state: PersistedState) -> Object:
    """The fields that hold what the operator remembers; but for the history none where there is nothing any more."""
    one_each: dict[str, ApiModel | None] = {
        "active": state.active,
        "earlierData": state.earlier_data,
        **{component.value: server for component, server in state.servers.items()},
        "restore": state.restore,
        "cutover": state.cutover,
        "maintenance": state.maintenance,
        "previous": state.previous,
        "retirement": state.retirement,
        "rejected": state.rejected,
    }
    kept: Object = {field: _plain(value) for field, value in one_each.items() if value is not None}
    if state.paused_since:
        kept["pausedSince"] = _instant(state.paused_since)
    # Also while it is empty: the API server defaults it to an empty list, and status would differ from that each time.
    return {**kept, "history": [_plain(entry) for entry in state.history]}


def _plain(value: ApiModel) -> Object:
    return value.model_dump(mode="json", by_alias=True, exclude_none=True)


def _up_to_date(desired: DesiredState, decision: Decision) -> Condition:
    condition, state, wanted = ConditionType.UP_TO_DATE, decision.state, desired.wanted
    active, cutover, rejected = state.active, state.cutover_under_way, state.rejected
    if active is None:
        lost = "status was lost: what serves is adopted once the database says which colour executes"
        message = lost if desired.has_served else "the first installation is under way"
        return Condition(condition, False, Reason.ENGINE_STARTING, message)
    if cutover:
        return Condition(condition, False, Reason.CUTOVER_IN_PROGRESS, _course(cutover, decision))
    if maintenance := state.maintenance_under_way:
        return Condition(condition, False, Reason.MAINTENANCE_IN_PROGRESS, _course_of_maintenance(maintenance))
    if active.revision == wanted.hash:
        return _servers_up_to_date(desired, state) or _colour_up_to_date(desired, active)
    if rejected and rejected.revision == wanted.hash:
        return Condition(
            condition,
            False,
            Reason.REJECTED,
            f"version {rejected.version} was rolled back ({rejected.reason}: {rejected.message}); version "
            f"{active.version} runs. Change spec, or give the annotation {RETRY} a new value to retry",
        )
    moves = (moving(state) or OperationName.RETIREMENT).lower()
    return Condition(
        condition, False, Reason.RETIRING, f"a cutover to version {wanted.version} begins once the {moves} is over"
    )


def _servers_up_to_date(desired: DesiredState, state: PersistedState) -> Condition | None:
    """What is to be said of database and cache; None when they are as spec and this release of the operator ask."""
    condition = ConditionType.UP_TO_DATE
    if failed := _failed_maintenance(state):
        return Condition(condition, False, failed.reason, failed.message)
    made = {component: server for component, server in state.servers.items() if component in desired.servers}
    for component, server in made.items():
        if desired.servers[component].asked.differs_from(server.asked):
            message = f"maintenance of the {component} begins once other operations are over"
            return Condition(condition, False, Reason.MAINTENANCE_IN_PROGRESS, message)
    newer = [component for component, server in made.items() if desired.servers[component].wanted != server.revision]
    if not newer:
        return None
    return Condition(
        condition,
        True,
        Reason.REFRESH_AVAILABLE,
        f"{_and(newer)} as spec asks; this release of the operator, or other imagePullSecrets, would make them "
        f"otherwise. To restart them so, when it suits you, give the annotation {REFRESH} a new value",
    )


def _and(components: Iterable[Component]) -> str:
    return " and ".join(f"the {component} runs" for component in components)


def _colour_up_to_date(desired: DesiredState, active: Active) -> Condition:
    """What is to be said of a colour that runs what spec asks for."""
    condition, runs = ConditionType.UP_TO_DATE, f"version {active.version} runs"
    if not desired.is_refreshable:
        return Condition(condition, True, Reason.AS_SPECIFIED, runs)
    message = (
        f"{runs}, as an earlier release of the operator made its pods; the next upgrade makes them as this release "
        f"does. To have that now, give the annotation {REFRESH} a new value"
    )
    return Condition(condition, True, Reason.REFRESH_AVAILABLE, message)


def _course(cutover: Cutover, decision: Decision) -> str:
    """The cutover's phase, and what it waits for."""
    why = f" because {cutover.message} ({cutover.reason})" if cutover.reason else ""
    waits = f": {decision.waits.message}" if decision.waits else ""
    return f"{cutover.from_.version} → {cutover.to.version} is {cutover.phase}{why}{waits}"


def _known(reason: str, otherwise: Reason) -> Reason:
    """A reason out of status, where a later operator may have written one that this one does not know."""
    return Reason(reason) if reason in set(Reason) else otherwise


def _reason(unmet: Unmet) -> Reason:
    return unmet.reason or Reason.CUTOVER_IN_PROGRESS


def _with(status: dict[str, Any], generation: int, conditions: Iterable[Condition], now: datetime) -> Object:
    """`status` with these conditions put in; a condition's time moves only when its status does."""
    before = {condition["type"]: condition for condition in status.get("conditions") or []}
    for condition in conditions:
        holds = (ConditionStatus.TRUE if condition.status else ConditionStatus.FALSE).value
        old = before.get(condition.type.value)
        since = old["lastTransitionTime"] if old and old["status"] == holds else _time(now)
        before[condition.type.value] = {
            "type": condition.type.value,
            "status": holds,
            "reason": condition.reason.value,
            "message": condition.message,
            "observedGeneration": generation,
            "lastTransitionTime": since,
        }
    order = {kind.value: place for place, kind in enumerate(ConditionType)}
    # Those of a later release stay, after ours.
    status["conditions"] = sorted(before.values(), key=lambda condition: order.get(condition["type"], len(order)))
    status["observedGeneration"] = generation
    return status


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _time(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
