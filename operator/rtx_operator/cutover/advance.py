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
from rtx_operator.cutover.checks import CHECKS, Unmet, unmet
from rtx_operator.cutover.effects import Effect
from rtx_operator.cutover.keeping import keeping_steps, retired
from rtx_operator.cutover.memory import SWITCHED, Memory
from rtx_operator.cutover.situation import Situation
from rtx_operator.cutover.steps import steps
from rtx_operator.cutover.transitions import Event, following
from rtx_operator.observation import Observation
from rtx_operator.plan import Plan

# A phase that is not named has no deadline: it waits as long as it takes.
DEADLINES: Mapping[Phase, Callable[[Rollout], timedelta]] = MappingProxyType({
    Phase.MIGRATING: lambda _: timedelta(hours=1),
    Phase.PROVISIONING: lambda rollout: rollout.ready_timeout,
    Phase.TESTING: lambda _: timedelta(minutes=2),
    Phase.SWITCHING: lambda _: timedelta(seconds=30),
    Phase.MONITORING: lambda rollout: rollout.monitor.duration + rollout.drain_timeout + timedelta(minutes=2),
})  # fmt: skip
# After nobody has looked for a while, a deadline that passed meanwhile says nothing yet.
SECOND_CHANCE = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Advance:
    """`entered`: the phase that the cutover came to with this look. `waits`: what it waits for, for people to read."""

    memory: Memory
    effects: tuple[Effect, ...] = ()
    entered: Phase | None = None
    waits: Unmet | None = None


def advance(
    engine: TradingEngine, plan: Plan, seen: Observation, now: datetime, *, cutover_id: str, held: str
) -> Advance:
    """The next step. `cutover_id` names a cutover that begins now; `held` says why none may go on from Pending."""
    memory = Memory.of(engine.status)
    if memory.active is None:
        return Advance(memory)
    cutover = memory.under_way
    if cutover is None:
        return _at_rest(memory, engine, plan, seen, now, cutover_id, held)
    situation = Situation(engine, plan, seen, cutover, now)
    memory = _noted(memory, situation)
    waits = _waits(memory, situation, held)
    event = _event(memory, situation, waits)
    if event is not None:
        return _moved(memory, situation, event, waits)
    if cutover.phase is not Phase.ROLLING_BACK:  # whose message stays the reason why it goes back
        memory = memory.note(message=waits.message if waits else "")
    return Advance(memory, steps(_with(situation, memory)), waits=waits)


# --- between cutovers ------------------------------------------------------------------------------------------------


def _at_rest(
    memory: Memory,
    engine: TradingEngine,
    plan: Plan,
    seen: Observation,
    now: datetime,
    cutover_id: str,
    held: str,
) -> Advance:
    previous = memory.previous
    if previous and previous.state is PreviousState.RETIRING:
        if retired(plan, seen, previous):
            return Advance(memory.with_previous(None))
        return Advance(memory, keeping_steps(plan, seen, memory))
    if memory.rejected and _is_forgiven(memory, engine, plan):
        return Advance(replace(memory, rejected=None))
    if _is_due(memory, plan):
        return Advance(memory.begin(cutover_id, _target(memory, plan), now), entered=Phase.PENDING)
    if previous and now >= previous.retire_after and not held:
        return Advance(memory.retiring())
    return Advance(memory, keeping_steps(plan, seen, memory))


def _is_due(memory: Memory, plan: Plan) -> bool:
    wanted = plan.wanted.hash
    rejected = memory.rejected.revision if memory.rejected else ""
    return memory.active is not None and wanted not in {memory.active.revision, rejected}


def _is_forgiven(memory: Memory, engine: TradingEngine, plan: Plan) -> bool:
    """What was rolled back may be tried again: the spec asks for something else, or somebody said so."""
    rejected = memory.rejected
    return rejected is not None and (plan.wanted.hash != rejected.revision or engine.retry != rejected.retry)


def _target(memory: Memory, plan: Plan) -> Release:
    colour = memory.active.colour.other if memory.active else Colour.BLUE
    return Release(colour=colour, version=plan.wanted.version, revision=plan.wanted.hash)


# --- under way -------------------------------------------------------------------------------------------------------


def _noted(memory: Memory, situation: Situation) -> Memory:
    """Instants that later checks and the figures rest on, noted when they are first seen."""
    cutover, fence = situation.cutover, situation.fence
    if cutover.fenced_at is None and situation.executes(situation.new) and fence and fence.cutover == cutover.id:
        memory = memory.note(fenced_at=fence.since or situation.now)
    if cutover.phase is Phase.SWITCHING and cutover.switched_at is None and situation.routed_to(situation.new):
        memory = memory.note(switched_at=situation.now)
    rolls_back = cutover.phase is Phase.ROLLING_BACK and cutover.fenced_at
    if rolls_back and cutover.restored_at is None and situation.executes(situation.old):
        memory = memory.note(restored_at=situation.now) if situation.routed_to(situation.old) else memory
    if not situation.seen.at_once and cutover.deadline and cutover.deadline < situation.now + SECOND_CHANCE:
        memory = memory.note(deadline=situation.now + SECOND_CHANCE)
    return memory


def _waits(memory: Memory, situation: Situation, held: str) -> Unmet | None:
    if situation.cutover.phase is Phase.PENDING:
        return Unmet(held) if held else None
    return unmet(_with(situation, memory), CHECKS[situation.cutover.phase])


def _with(situation: Situation, memory: Memory) -> Situation:
    """The situation in the light of what was noted about it."""
    return replace(situation, cutover=memory.cutover or situation.cutover)


def _event(memory: Memory, situation: Situation, waits: Unmet | None) -> Event | None:
    """What has happened, if anything: success is asked before failure, failure before the deadline."""
    cutover, plan = situation.cutover, situation.plan
    if cutover.phase not in {Phase.PROMOTING, Phase.ROLLING_BACK} and plan.wanted.hash != cutover.to.revision:
        return Event.WITHDRAWN
    if waits is None:
        kept = memory.previous is not None and memory.previous.revision == cutover.to.revision
        return Event.KEPT if kept and cutover.phase is Phase.PENDING else Event.DONE
    if cutover.phase not in DEADLINES:
        return None
    if waits.reason:
        return Event.FAILED
    deadline = memory.cutover.deadline if memory.cutover else None
    return Event.EXPIRED if deadline and situation.now > deadline else None


def _moved(memory: Memory, situation: Situation, event: Event, waits: Unmet | None) -> Advance:
    cutover, engine, now = memory.cutover or situation.cutover, situation.engine, situation.now
    memory = memory.after(event, now, _deadline_after(engine, cutover, event), *_why(situation, event, waits))
    entered = memory.cutover.phase if memory.cutover else None
    memory = _with_active(memory, situation)
    if entered and entered.is_terminal:
        if entered is Phase.SUCCEEDED:
            memory = memory.with_previous(_kept(engine, cutover, now))
        else:
            memory = memory.with_rejected(engine.retry)
        memory = memory.recorded(now)
    return Advance(memory, entered=entered)


def _deadline_after(engine: TradingEngine, cutover: Cutover, event: Event) -> timedelta | None:
    limit = DEADLINES.get(following(cutover.phase, event))
    return limit(engine.spec.rollout) if limit else None


def _why(situation: Situation, event: Event, waits: Unmet | None) -> tuple[str, str]:
    """Why a cutover goes back: a reason and a sentence. The latter, when it goes on, is empty."""
    cutover = situation.cutover
    if event is Event.WITHDRAWN:
        wanted = situation.plan.wanted.version
        return Reason.SUPERSEDED, f"the spec asks for version {wanted} as it is now, no longer for this"
    if event is Event.EXPIRED and waits:
        return Reason.DEADLINE_EXCEEDED, f"{cutover.phase} was not over in time: {waits.message}"
    if event is Event.FAILED and waits and waits.reason:
        return waits.reason, waits.message
    return "", cutover.message if cutover.phase is Phase.ROLLING_BACK else ""


def _with_active(memory: Memory, situation: Situation) -> Memory:
    """The active colour is the new one from Monitoring on, and the old one again from RollingBack on."""
    cutover = memory.cutover
    if cutover is None or memory.active is None:
        return memory
    release = cutover.to if cutover.phase in SWITCHED else cutover.from_
    if memory.active.colour is release.colour:
        return memory
    plan, fence = situation.plan.of(release.colour), situation.fence
    active = Active(
        colour=release.colour,
        version=release.version,
        digest=plan.revision.digest if plan else None,
        config_hash=plan.revision.config_hash if plan else "",
        revision=release.revision,
        epoch=max(memory.active.epoch, fence.epoch if fence else 0),
    )
    return memory.with_active(active)


def _kept(engine: TradingEngine, cutover: Cutover, now: datetime) -> Previous:
    old = cutover.from_
    retire_after = now + engine.spec.rollout.keep_previous_for
    return Previous(colour=old.colour, version=old.version, revision=old.revision, retire_after=retire_after)
