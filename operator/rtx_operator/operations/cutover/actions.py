"""The action of each phase: the effects that are needed now, in order.

Two rules stand above all of it: what the live Service selects is never made smaller, and the live Service never
selects a colour that the database does not let execute. So a colour is emptied only when the *other* one is observed
to have both, and the Service follows the fence, never the other way round.
"""

from rtx_operator.api.status import Release
from rtx_operator.operations.cutover.checks.rollback import (
    new_colour_drained,
    old_colour_can_replace_new,
    old_colour_is_whole,
    old_colour_serves,
    reverses,
    routed_to_old,
    withdrawn_migration_ended,
)
from rtx_operator.operations.cutover.checks.upgrade import SWITCH_GATES
from rtx_operator.operations.cutover.context import BACK, FORWARD, CutoverContext
from rtx_operator.operations.effects import Apply, Drain, Effect, EffectName, Scale, next_size
from rtx_operator.operations.fence import fence_move
from rtx_operator.pod_reports import EngineReport
from rtx_operator.results import worst_unmet


def back_up(context: CutoverContext) -> tuple[Effect, ...]:
    return (Apply(EffectName.BACK_UP, (context.wanted_backup,)),)


def migrate(context: CutoverContext) -> tuple[Effect, ...]:
    target = context.desired.of(context.new.colour)
    if target is None or context.is_foreign:
        return ()
    # The revision is recorded first: the next leader must be able to build it, whatever spec says by then.
    return (Apply(EffectName.MIGRATE, (target.controller_revision, target.migrate)),)


def provision(context: CutoverContext) -> tuple[Effect, ...]:
    target = context.desired.of(context.new.colour)
    if target is None:
        return ()
    return (Apply(EffectName.PROVISION, target.objects), *resize(context))


def resize(context: CutoverContext) -> tuple[Effect, ...]:
    return _grow(context, context.new, context.size_needed)


def _grow(context: CutoverContext, release: Release, needed: int) -> tuple[Effect, ...]:
    deployment = context.deployment_of_revision(release)
    size = context.size(release)
    if deployment is None or size >= needed:
        return ()
    wanted = next_size(len(context.ready_pods(release)), needed)
    return (Scale(EffectName.RESIZE, deployment, wanted),) if wanted > size else ()


def switch(context: CutoverContext) -> tuple[Effect, ...]:
    if not context.executes(context.new):
        if worst_unmet(context, SWITCH_GATES):
            return resize(context)
        return _move_fence(context, context.new, context.cutover.id)
    return _select(context, context.new) or _autoscale(context, context.new)


def _move_fence(context: CutoverContext, to: Release, cutover_id: str) -> tuple[Effect, ...]:
    if context.seen.database is None or context.seen.database.error or context.fence_is_gone or context.is_foreign:
        return ()
    active, fence = context.engine.status.active, context.fence
    known = active.epoch if active else 0
    return (fence_move(to, context.desired, context.seen, known_epoch=known, fence=fence, cutover=cutover_id),)


def _select(context: CutoverContext, to: Release) -> tuple[Effect, ...]:
    if context.selected() is to.colour:
        return ()
    return (Apply(EffectName.SELECT, (context.desired.traffic[to.colour].select,), guarded=True),)


def _autoscale(context: CutoverContext, release: Release) -> tuple[Effect, ...]:
    """An autoscaler that stayed behind would shrink the colour that lost the traffic, and never grow the other one."""
    elsewhere = context.autoscaler_elsewhere(release)
    return (Apply(EffectName.AUTOSCALE, elsewhere, guarded=True),) if elsewhere else ()


def monitor(context: CutoverContext) -> tuple[Effect, ...]:
    if not context.executes(context.new):  # a failover of the database has lost the move
        return _move_fence(context, context.new, context.cutover.id)
    # The old colour grows with the new one: going back at any moment must not lose capacity. But only once the new pods
    # are there: it competes with them for room.
    way_back = _grow(context, context.old, len(context.ready_pods(context.new)))
    return _select(context, context.new) or (*_drain(context, context.old), *way_back)


def _drain(context: CutoverContext, release: Release) -> tuple[Effect, ...]:
    undrained = tuple(
        pod
        for pod in context.ready_pods(release)
        if isinstance(report := context.seen.engines.get(pod["metadata"]["name"]), EngineReport) and not report.draining
    )
    fence = context.fence
    if not undrained or fence is None:
        return ()
    return (Drain(undrained, fence.epoch, context.drain_timeout.total_seconds()),)


def promote(context: CutoverContext) -> tuple[Effect, ...]:
    return _autoscale(context, context.new)


def roll_back(context: CutoverContext) -> tuple[Effect, ...]:
    old, new = context.old, context.new
    if not context.went_back:
        return () if old_colour_is_whole(context) else _move_fence_back(context)
    if context.selected() is not old.colour:
        return _select(context, old)
    if context.cutover.fenced_at and (routed_to_old(context) or old_colour_serves(context)):
        return _autoscale(context, old)
    stays = new_colour_drained(context) or old_colour_can_replace_new(context)
    ends = _drain(context, new) if stays else _empty(context, new)
    return (*ends, *_autoscale(context, old))


def _move_fence_back(context: CutoverContext) -> tuple[Effect, ...]:
    """To the old colour; to the new one where only that serves, or a third version is to follow it."""
    old, new = context.old, context.new
    if context.only_new_serves:
        return _move_fence(context, new, f"{context.cutover.id}{FORWARD}")
    # What a restored fence names may be the colour of a release that never passed its gates: not a moment longer.
    was_lost = context.shows_earlier_data or context.cutover.fenced_at is None
    if context.names(old) or context.ready_pods(old) or was_lost:
        return _move_fence(context, old, f"{context.cutover.id}{BACK}")
    keeps_new = context.goes_forward and context.names(new)
    return _move_fence(context, new, f"{context.cutover.id}{FORWARD}") if keeps_new else ()


def _empty(context: CutoverContext, new: Release) -> tuple[Effect, ...]:
    deployment = context.deployment_of_revision(new)  # what else has the colour is the previous release's, and stays
    if deployment and context.size(new):
        return (Scale(EffectName.EMPTY, deployment, 0),)
    target = context.desired.of(new.colour)
    if target is None or not reverses(context) or withdrawn_migration_ended(context):
        return ()
    return (Apply(EffectName.REVERSE, (target.reverse,)),)
