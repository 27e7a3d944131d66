"""What each phase does about what it waits for. Each function gives the effects that are needed now, in order.

Two rules stand above all of it: what the live Service selects is never made smaller, and the live Service never
selects a colour that the database does not let execute. So a colour is emptied only when the *other* one is seen to
have both, and the Service follows the fence, never the other way round.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from rtx_operator.api.enums import Phase
from rtx_operator.api.status import Release
from rtx_operator.cutover.checks import SWITCH_GATES, new_colour_drained, reverses, unmet
from rtx_operator.cutover.effects import Apply, Drain, Effect, EffectName, MoveFence, Scale, next_size
from rtx_operator.cutover.situation import BACK, Situation
from rtx_operator.reports import EngineReport


def steps(situation: Situation) -> tuple[Effect, ...]:
    """The effects that the cutover's phase needs now; none when all that is left is to wait."""
    step = _STEPS.get(situation.cutover.phase)
    return step(situation) if step else ()


def _migrate(situation: Situation) -> tuple[Effect, ...]:
    plan = situation.plan.of(situation.new.colour)
    # The revision is recorded first: the next leader must be able to build it, whatever spec says by then.
    return (Apply(EffectName.MIGRATE, (plan.controller_revision, plan.migrate)),) if plan else ()


def _provision(situation: Situation) -> tuple[Effect, ...]:
    plan = situation.plan.of(situation.new.colour)
    if plan is None:
        return ()
    return (Apply(EffectName.PROVISION, plan.objects), *_resize(situation))


def _resize(situation: Situation) -> tuple[Effect, ...]:
    deployment = situation.deployment_of_revision(situation.new)
    size, needed = situation.size(situation.new), situation.size_needed
    if deployment is None or size >= needed:
        return ()
    wanted = next_size(len(situation.ready_pods(situation.new)), needed)
    return (Scale(EffectName.RESIZE, deployment, wanted),) if wanted > size else ()


def _switch(situation: Situation) -> tuple[Effect, ...]:
    if not situation.executes(situation.new):
        if unmet(situation, SWITCH_GATES):
            return _resize(situation)
        return _move_fence(situation, situation.new, situation.cutover.id)
    return _select(situation, situation.new)


def _move_fence(situation: Situation, to: Release, cutover_id: str) -> tuple[Effect, ...]:
    if situation.seen.database is None or situation.seen.database.error:
        return ()
    active, fence = situation.engine.status.active, situation.fence
    known = active.epoch if active else 0
    return (MoveFence((to.colour.value,), known, fence.epoch if fence else None, cutover_id),)


def _select(situation: Situation, to: Release) -> tuple[Effect, ...]:
    if situation.selected() is to.colour:
        return ()
    return (Apply(EffectName.SELECT, (situation.plan.routes[to.colour].select,), guarded=True),)


def _watch(situation: Situation) -> tuple[Effect, ...]:
    if not situation.executes(situation.new):  # the database has lost the move
        return _move_fence(situation, situation.new, situation.cutover.id)
    return _select(situation, situation.new) or _drain(situation, situation.old)


def _drain(situation: Situation, release: Release) -> tuple[Effect, ...]:
    undrained = tuple(
        pod
        for pod in situation.ready_pods(release)
        if isinstance(report := situation.seen.engines.get(pod["metadata"]["name"]), EngineReport)
        and not report.draining
    )
    fence = situation.fence
    if not undrained or fence is None:
        return ()
    return (Drain(undrained, fence.epoch, situation.drain_timeout.total_seconds()),)


def _promote(situation: Situation) -> tuple[Effect, ...]:
    late = situation.not_promoted
    return (Apply(EffectName.PROMOTE, late, guarded=True),) if late else ()


def _roll_back(situation: Situation) -> tuple[Effect, ...]:
    old, new = situation.old, situation.new
    if not situation.went_back:
        ready = situation.ready_pods(old)
        return _move_fence(situation, old, f"{situation.cutover.id}{BACK}") if ready else ()
    if situation.selected() is not old.colour:
        return _select(situation, old)
    if situation.cutover.fenced_at and not situation.routed_to(old):
        return ()
    return _drain(situation, new) if new_colour_drained(situation) else _take_away(situation, new)


def _take_away(situation: Situation, new: Release) -> tuple[Effect, ...]:
    deployment = situation.deployment_of_revision(new)  # what else has the colour was there before, and stays
    if deployment and situation.size(new):
        return (Scale(EffectName.EMPTY, deployment, 0),)
    plan = situation.plan.of(new.colour)
    return (Apply(EffectName.REVERSE, (plan.reverse,)),) if plan and reverses(situation) else ()


_STEPS: Mapping[Phase, Callable[[Situation], tuple[Effect, ...]]] = MappingProxyType({
    Phase.MIGRATING: _migrate,
    Phase.PROVISIONING: _provision,
    Phase.TESTING: _resize,
    Phase.SWITCHING: _switch,
    Phase.MONITORING: _watch,
    Phase.PROMOTING: _promote,
    Phase.ROLLING_BACK: _roll_back,
})  # fmt: skip
