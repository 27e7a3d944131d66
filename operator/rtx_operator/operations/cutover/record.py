"""What status remembers of a cutover besides its phase: instants, and what the end of a phase changes in the rest."""

from dataclasses import replace
from datetime import datetime, timedelta

from rtx_operator.api.enums import CutoverPhase as Phase
from rtx_operator.api.enums import Reason
from rtx_operator.api.status import HISTORY_LIMIT, Active, Cutover, HistoryEntry, Previous, Rejected
from rtx_operator.desired.image import resolved
from rtx_operator.observation import ends
from rtx_operator.operations.cutover import evidence
from rtx_operator.operations.cutover.checks.monitoring import monitored_long_enough
from rtx_operator.operations.cutover.checks.rollback import old_colour_is_whole
from rtx_operator.operations.cutover.checks.upgrade import migrated
from rtx_operator.operations.cutover.context import CutoverContext
from rtx_operator.operations.cutover.phases import PHASES, Side
from rtx_operator.operations.jobs import GIVE_UP_AFTER
from rtx_operator.operations.machine import Event, OwnEvent
from rtx_operator.operations.record import noted
from rtx_operator.operations.state import PersistedState
from rtx_operator.results import Failure, Unmet

# In which a cutover begins anew when passwords change; later on the new version has the traffic, and is judged by it.
_BEGIN_ANEW = frozenset({Phase.MIGRATING, Phase.PROVISIONING, Phase.TESTING})
SMOKE_PASSES = 2  # that make up for one failure: a version of whose tests a third fail for long is not promoted


def note(state: PersistedState, context: CutoverContext) -> PersistedState:
    """Instants that later checks and the figures rest on, noted when they are first observed."""
    cutover, now = context.cutover, context.now
    if cutover.phase is Phase.MIGRATING:
        cutover = _with_digest(cutover, context)
    is_tried = cutover.phase not in {Phase.PENDING, Phase.ROLLING_BACK}
    if cutover.data_lost_at is None and is_tried and context.shows_earlier_data:
        cutover = noted(cutover, data_lost_at=now)
    if cutover.fenced_at is None and context.has_executed:
        cutover = noted(cutover, fenced_at=now)
    if cutover.phase is Phase.SWITCHING and cutover.switched_at is None and context.routed_to(context.new):
        cutover = _draining(noted(cutover, switched_at=now), context)
    if _is_restored(context):
        cutover = _draining(noted(cutover, restored_at=now), context)
    cutover = _with_drain_timeout(cutover, context.drain_timeout)
    if cutover.phase is Phase.ROLLING_BACK and context.seen.is_whole:
        cutover = _with_obstacles(cutover, context)
    if cutover.phase is Phase.MONITORING and context.seen.is_whole:
        resumed = {} if context.seen.observed_recently else {"resumed_at": now}
        cutover = noted(_with_failures(_judged(cutover, context), context), **resumed)
    return state.with_record(cutover)


def _draining(cutover: Cutover, context: CutoverContext) -> Cutover:
    limit = context.drain_timeout
    return noted(cutover, drain_until=context.now + limit, drain_seconds=limit.total_seconds())


def _with_drain_timeout(cutover: Cutover, limit: timedelta) -> Cutover:
    """The time for the drain follows spec, as the phase's deadline does: else that could pass first.

    It moves by the difference: pauses stay in it.
    """
    if cutover.drain_until is None or cutover.drain_seconds is None:
        return cutover
    moved = cutover.drain_until + limit - timedelta(seconds=cutover.drain_seconds)
    return noted(cutover, drain_until=moved, drain_seconds=limit.total_seconds())


def _with_digest(cutover: Cutover, context: CutoverContext) -> Cutover:
    """What the migration Job ran is what the new colour's pods run, wherever the tag leads by then.

    Noted as soon as a pod of the Job says it: the pod may be gone with its node when the Job has ended.
    """
    target = context.desired.of(context.new.colour)
    if target is None:
        return cutover
    if context.returns_to_adopted:
        return noted(cutover, digest=target.revision.digest or "")
    digest = resolved(context.seen, target.migrate)
    if not digest and migrated(context):
        return cutover
    return noted(cutover, digest=digest or cutover.digest or "")


def _judged(cutover: Cutover, context: CutoverContext) -> Cutover:
    """By what the new release is judged by now, what may end with its pods, and when its time was over."""
    judged, now = evidence.judgement(context), context.now
    cutover = noted(cutover, answers=evidence.answers(context))
    if judged is not cutover.judged:
        cutover = noted(cutover, judged=judged, requests=evidence.served(context).requests)
    if cutover.monitored_at is None and monitored_long_enough(context) is None:
        cutover = noted(cutover, monitored_at=now)
    return cutover


def _with_failures(cutover: Cutover, context: CutoverContext) -> Cutover:
    """Since when the new release lacks pods that have room, and since when smoke tests fail more often than they may.

    A test that failed is made up for by SMOKE_PASSES that pass; so one that flaps does not begin anew with each pass.
    """
    missing_since = _since(cutover.pods_missing_since, context, lasts=context.lacks_pods and not context.room_is_short)
    cutover = noted(cutover, pods_missing_since=missing_since)
    if not context.seen.smoke:
        return cutover
    fails = any(not result.passed for result in context.seen.smoke)
    missing = cutover.smoke_passes_missing if context.seen.observed_recently else 0
    missing = missing + SMOKE_PASSES if fails else max(0, missing - 1)
    failing_since = _since(cutover.smoke_failing_since, context, lasts=missing > 0)
    return noted(cutover, smoke_passes_missing=missing, smoke_failing_since=failing_since)


def _with_obstacles(cutover: Cutover, context: CutoverContext) -> Cutover:
    """Since when a rollback cannot go on. That it waits for old pods, before it moves the fence, is no obstacle."""
    has_moved = context.went_back or context.went_forward
    is_stuck = not has_moved and old_colour_is_whole(context) is None
    return noted(
        cutover,
        old_down_since=_since(cutover.old_down_since, context, lasts=not context.old_serves),
        fence_stuck_since=_since(cutover.fence_stuck_since, context, lasts=is_stuck),
    )


def _since(known: datetime | None, context: CutoverContext, *, lasts: bool) -> datetime | None:
    """Since when something lasts. What was there before a gap in observation may have been over meanwhile."""
    begun = known if context.seen.observed_recently else None
    return (begun or context.now) if lasts else None


def _is_restored(context: CutoverContext) -> bool:
    """The old colour executes and has the traffic again, for the first time since the fence moved."""
    cutover = context.cutover
    awaited = cutover.phase is Phase.ROLLING_BACK and cutover.fenced_at and cutover.restored_at is None
    return bool(awaited) and context.executes(context.old) and context.routed_to(context.old)


def own_event(context: CutoverContext, waits: Unmet | None) -> OwnEvent | None:
    """WITHDRAWN when spec asks for another revision, or its schema was lost; KEPT when its target is still warm, and
    SKIPPED when it needs no backup.

    WITHDRAWN as well, before the switch, when passwords have changed: new pods and Jobs cannot log in, and a version is
    not rejected for that.
    """
    cutover, wanted = context.cutover, context.desired.wanted
    if cutover.phase is Phase.ROLLING_BACK:
        return _forward(context)
    if Event.WITHDRAWN in PHASES[cutover.phase].ways and wanted.hash != cutover.to.revision:
        changed = f"spec asks for version {wanted.version} as it is now, no longer for this"
        return OwnEvent(Event.WITHDRAWN, Failure(changed, Reason.SUPERSEDED))
    if cutover.phase in _BEGIN_ANEW and context.lacks_passwords:
        changed = f"the database gets its new passwords first; the cutover to version {cutover.to.version} begins anew"
        return OwnEvent(Event.WITHDRAWN, Failure(changed, Reason.SUPERSEDED))
    if waits is not None and _lost_its_schema(context):
        why = f"the database shows an earlier state of its data, without what version {cutover.to.version} migrated"
        return OwnEvent(Event.WITHDRAWN, Failure(f"{why}; it is tried again", Reason.DATA_MISSING))
    return _shorter_way(context) if waits is None else None


def _shorter_way(context: CutoverContext) -> OwnEvent | None:
    """KEPT or SKIPPED, where the phase has that way out."""
    ways, is_warm = PHASES[context.cutover.phase].ways, context.goes_back and bool(context.ready_pods(context.new))
    if is_warm and Event.KEPT in ways:
        return OwnEvent(Event.KEPT)
    # A release that is kept, and has no ready pods, is gone back to in a hurry.
    needs_backup = context.begins_with_backup and not context.goes_back
    return OwnEvent(Event.SKIPPED) if not needs_backup and Event.SKIPPED in ways else None


def _lost_its_schema(context: CutoverContext) -> bool:
    """Whether the data went back after it had migrated, and its pods have not been ready since: they never will be."""
    lost_at, phase = context.cutover.data_lost_at, context.cutover.phase
    has_migrated = phase in {Phase.PROVISIONING, Phase.TESTING}
    return has_migrated and lost_at is not None and context.now - lost_at > GIVE_UP_AFTER


def _forward(context: CutoverContext) -> OwnEvent | None:
    """WITHDRAWN when the new release stays, because the old one cannot come back and a third one is asked for."""
    if not (context.asks_for_third_version and context.went_forward):
        return None
    cutover, old = context.cutover, context.old
    why = (
        f"version {old.version} could not come back; version {context.desired.wanted.version} follows. "
        f"It was to go back because {cutover.message}"
    )
    return OwnEvent(Event.WITHDRAWN, Failure(why, Reason.CANNOT_ROLL_BACK))


def settle(state: PersistedState, context: CutoverContext) -> PersistedState:
    """The active release follows the phase; a cutover that is over leaves what is kept or rejected, and its history."""
    cutover = context.cutover
    state = _with_active(state, context)
    if cutover.phase is Phase.SWITCHING:
        state = state.with_record(noted(cutover, restarts=_restarts(context)))
    if cutover.phase in {Phase.BACKING_UP, Phase.ROLLING_BACK}:
        state = state.with_record(noted(cutover, retry=context.engine.retry))
    if cutover.phase is Phase.PROMOTING:
        state = state.with_record(
            noted(cutover, requests=max(cutover.requests or 0, evidence.served(context).requests))
        )
    if not cutover.phase.is_terminal:
        return state
    if PHASES[cutover.phase].active is Side.NEW:
        state = replace(state, previous=_kept(context))
    elif cutover.reason != Reason.SUPERSEDED and cutover.data_lost_at is None:
        state = replace(state, rejected=_rejected(context))
    return replace(state, history=(_history_entry(context), *state.history)[:HISTORY_LIMIT])


def _restarts(context: CutoverContext) -> dict[str, int]:
    """How often each pod of the new release has ended so far, of those that have."""
    counts = {str(pod["metadata"]["name"]): ends(pod) for pod in context.pods(context.new)}
    return {name: count for name, count in counts.items() if count}


def _with_active(state: PersistedState, context: CutoverContext) -> PersistedState:
    release = PHASES[context.cutover.phase].active.release(context.cutover)
    if state.active is None or state.active.colour is release.colour:
        return state
    target, fence = context.desired.of(release.colour), context.fence
    active = Active(
        colour=release.colour,
        version=release.version,
        image=target.revision.image if target else "",
        digest=target.revision.digest if target else None,
        config_hash=target.revision.config_hash if target else "",
        revision=release.revision,
        epoch=max(state.active.epoch, fence.epoch if fence else 0),
    )
    return replace(state, active=active)


def _kept(context: CutoverContext) -> Previous:
    old = context.old
    limit = context.engine.spec.rollout.keep_previous_for
    return Previous(
        colour=old.colour,
        version=old.version,
        revision=old.revision,
        retire_after=context.now + limit,
        kept_for_seconds=limit.total_seconds(),
    )


def _rejected(context: CutoverContext) -> Rejected:
    cutover, new = context.cutover, context.new
    return Rejected(
        revision=new.revision,
        version=new.version,
        reason=cutover.reason,
        message=cutover.message,
        retry=cutover.retry,
    )


def _history_entry(context: CutoverContext) -> HistoryEntry:
    cutover: Cutover = context.cutover
    return HistoryEntry(
        id=cutover.id,
        from_version=cutover.from_.version,
        to_version=cutover.to.version,
        result=cutover.phase,
        started_at=cutover.started_at,
        ended_at=context.now,
        fenced_at=cutover.fenced_at,
        switched_at=cutover.switched_at,
        restored_at=cutover.restored_at,
        judged=cutover.judged if cutover.phase is Phase.SUCCEEDED else None,
        requests=cutover.requests if cutover.phase is Phase.SUCCEEDED else None,
        reason=cutover.reason,
        message=cutover.message if cutover.reason else "",
        seconds=cutover.seconds,
    )
