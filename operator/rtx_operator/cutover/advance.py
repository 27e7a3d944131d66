"""One look at an engine's colours: the phase that comes next, or what is to be done in this one. Never both.

First the phase moves, and is written down; only the look after that does what the new phase asks for. So whoever
takes over at any instant finds in the status what may already have been done. What a look learns besides (an instant,
what is waited for) is no reason to wait: whoever looks next learns it, too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType

from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import Colour, Phase, PreviousState, Reason
from rtx_operator.api.rollout import Rollout
from rtx_operator.api.status import Active, Cutover, Previous, Release
from rtx_operator.cutover.actions import actions
from rtx_operator.cutover.checks import CHECKS, Unmet, unmet
from rtx_operator.cutover.context import CutoverContext
from rtx_operator.cutover.effects import Effect
from rtx_operator.cutover.retirement import retired, retirement_actions
from rtx_operator.cutover.state import SWITCHED, PersistedState
from rtx_operator.cutover.transitions import Event, following
from rtx_operator.desired.state import DesiredState
from rtx_operator.observation import Observation

# A phase that is not named has no deadline: it waits as long as it takes.
DEADLINES: Mapping[Phase, Callable[[Rollout], timedelta]] = MappingProxyType({
    Phase.MIGRATING: lambda _: timedelta(hours=1),
    Phase.PROVISIONING: lambda rollout: rollout.ready_timeout,
    Phase.TESTING: lambda _: timedelta(minutes=2),
    Phase.SWITCHING: lambda _: timedelta(seconds=30),
    Phase.MONITORING: lambda rollout: rollout.monitor.duration + rollout.drain_timeout + timedelta(minutes=2),
})  # fmt: skip
# After nobody has looked for a while, a deadline that passed meanwhile says nothing yet.
DEADLINE_GRACE = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Advance:
    """`entered`: the phase that the cutover came to with this look. `waits`: what it waits for, for people to read."""

    state: PersistedState
    effects: tuple[Effect, ...] = ()
    entered: Phase | None = None
    waits: Unmet | None = None


def advance(
    engine: TradingEngine, desired: DesiredState, seen: Observation, now: datetime, *, cutover_id: str, held: str
) -> Advance:
    """The next step. `cutover_id` names a cutover that begins now; `held` says why none may go on from Pending."""
    state = PersistedState.of(engine.status)
    if state.active is None:
        return Advance(state)
    cutover = state.under_way
    if cutover is None:
        return _at_rest(state, engine, desired, seen, now, cutover_id, held)
    context = CutoverContext(engine, desired, seen, cutover, now)
    state = _noted(state, context)
    waits = _waits(state, context, held)
    event = _event(state, context, waits)
    if event is not None:
        return _moved(state, context, event, waits)
    if cutover.phase is not Phase.ROLLING_BACK:  # whose message stays the reason why it goes back
        state = state.note(message=waits.message if waits else "")
    return Advance(state, actions(_with(context, state)), waits=waits)


# --- between cutovers ------------------------------------------------------------------------------------------------


def _at_rest(
    state: PersistedState,
    engine: TradingEngine,
    desired: DesiredState,
    seen: Observation,
    now: datetime,
    cutover_id: str,
    held: str,
) -> Advance:
    previous = state.previous
    if previous and previous.state is PreviousState.RETIRING:
        if retired(desired, seen, previous):
            return Advance(state.with_previous(None))
        return Advance(state, retirement_actions(desired, seen, state))
    if state.rejected and _is_forgiven(state, engine, desired):
        return Advance(replace(state, rejected=None))
    if _is_due(state, desired):
        return Advance(state.begin(cutover_id, _target(state, desired), now), entered=Phase.PENDING)
    if previous and now >= previous.retire_after and not held:
        return Advance(state.retiring())
    return Advance(state, retirement_actions(desired, seen, state))


def _is_due(state: PersistedState, desired: DesiredState) -> bool:
    wanted = desired.wanted.hash
    rejected = state.rejected.revision if state.rejected else ""
    return state.active is not None and wanted not in {state.active.revision, rejected}


def _is_forgiven(state: PersistedState, engine: TradingEngine, desired: DesiredState) -> bool:
    """What was rolled back may be tried again: the spec asks for something else, or somebody said so."""
    rejected = state.rejected
    return rejected is not None and (desired.wanted.hash != rejected.revision or engine.retry != rejected.retry)


def _target(state: PersistedState, desired: DesiredState) -> Release:
    colour = state.active.colour.other if state.active else Colour.BLUE
    return Release(colour=colour, version=desired.wanted.version, revision=desired.wanted.hash)


# --- under way -------------------------------------------------------------------------------------------------------


def _noted(state: PersistedState, context: CutoverContext) -> PersistedState:
    """Instants that later checks and the figures rest on, noted when they are first seen."""
    cutover, fence = context.cutover, context.fence
    if cutover.fenced_at is None and context.executes(context.new) and fence and fence.cutover == cutover.id:
        state = state.note(fenced_at=fence.since or context.now)
    if cutover.phase is Phase.SWITCHING and cutover.switched_at is None and context.routed_to(context.new):
        state = state.note(switched_at=context.now)
    rolls_back = cutover.phase is Phase.ROLLING_BACK and cutover.fenced_at
    if rolls_back and cutover.restored_at is None and context.executes(context.old):
        state = state.note(restored_at=context.now) if context.routed_to(context.old) else state
    if not context.seen.observed_recently and cutover.deadline and cutover.deadline < context.now + DEADLINE_GRACE:
        state = state.note(deadline=context.now + DEADLINE_GRACE)
    return state


def _waits(state: PersistedState, context: CutoverContext, held: str) -> Unmet | None:
    if context.cutover.phase is Phase.PENDING:
        return Unmet(held) if held else None
    return unmet(_with(context, state), CHECKS[context.cutover.phase])


def _with(context: CutoverContext, state: PersistedState) -> CutoverContext:
    """The context in the light of what was noted about it."""
    return replace(context, cutover=state.cutover or context.cutover)


def _event(state: PersistedState, context: CutoverContext, waits: Unmet | None) -> Event | None:
    """What has happened, if anything: success is asked before failure, failure before the deadline."""
    cutover, desired = context.cutover, context.desired
    if cutover.phase not in {Phase.PROMOTING, Phase.ROLLING_BACK} and desired.wanted.hash != cutover.to.revision:
        return Event.WITHDRAWN
    if waits is None:
        kept = state.previous is not None and state.previous.revision == cutover.to.revision
        return Event.KEPT if kept and cutover.phase is Phase.PENDING else Event.DONE
    if cutover.phase not in DEADLINES:
        return None
    if waits.reason:
        return Event.FAILED
    deadline = state.cutover.deadline if state.cutover else None
    return Event.EXPIRED if deadline and context.now > deadline else None


def _moved(state: PersistedState, context: CutoverContext, event: Event, waits: Unmet | None) -> Advance:
    cutover, engine, now = state.cutover or context.cutover, context.engine, context.now
    state = state.after(event, now, _deadline_after(engine, cutover, event), *_why(context, event, waits))
    entered = state.cutover.phase if state.cutover else None
    state = _with_active(state, context)
    if entered and entered.is_terminal:
        if entered is Phase.SUCCEEDED:
            state = state.with_previous(_kept(engine, cutover, now))
        else:
            state = state.with_rejected(engine.retry)
        state = state.recorded(now)
    return Advance(state, entered=entered)


def _deadline_after(engine: TradingEngine, cutover: Cutover, event: Event) -> timedelta | None:
    limit = DEADLINES.get(following(cutover.phase, event))
    return limit(engine.spec.rollout) if limit else None


def _why(context: CutoverContext, event: Event, waits: Unmet | None) -> tuple[str, str]:
    """Why a cutover goes back: a reason and a sentence. The latter, when it goes on, is empty."""
    cutover = context.cutover
    if event is Event.WITHDRAWN:
        wanted = context.desired.wanted.version
        return Reason.SUPERSEDED, f"the spec asks for version {wanted} as it is now, no longer for this"
    if event is Event.EXPIRED and waits:
        return Reason.DEADLINE_EXCEEDED, f"{cutover.phase} was not over in time: {waits.message}"
    if event is Event.FAILED and waits and waits.reason:
        return waits.reason, waits.message
    return "", cutover.message if cutover.phase is Phase.ROLLING_BACK else ""


def _with_active(state: PersistedState, context: CutoverContext) -> PersistedState:
    """The active colour is the new one from Monitoring on, and the old one again from RollingBack on."""
    cutover = state.cutover
    if cutover is None or state.active is None:
        return state
    release = cutover.to if cutover.phase in SWITCHED else cutover.from_
    if state.active.colour is release.colour:
        return state
    desired, fence = context.desired.of(release.colour), context.fence
    active = Active(
        colour=release.colour,
        version=release.version,
        digest=desired.revision.digest if desired else None,
        config_hash=desired.revision.config_hash if desired else "",
        revision=release.revision,
        epoch=max(state.active.epoch, fence.epoch if fence else 0),
    )
    return state.with_active(active)


def _kept(engine: TradingEngine, cutover: Cutover, now: datetime) -> Previous:
    old = cutover.from_
    retire_after = now + engine.spec.rollout.keep_previous_for
    return Previous(colour=old.colour, version=old.version, revision=old.revision, retire_after=retire_after)
