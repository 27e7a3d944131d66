"""Who is to execute while no cutover moves the fence itself: the active colour.

The database is the authority; what a failover or a restore made it forget is corrected by a higher epoch. A fence is
created only for an engine that never had one: a database without it has not the data of one that has served. While a
maintenance replaces the database's pod it stays as it is: by its epoch the maintenance knows the data.
"""

from rtx_operator.decision.context import DecisionContext
from rtx_operator.decision.earlier_data import earlier_data_hold
from rtx_operator.observation import Owner, executes
from rtx_operator.operations.arbiter import traffic_waits
from rtx_operator.operations.effects import MoveFence, UpdateFence
from rtx_operator.operations.fence import fence_move, lets_others_execute


def fence_to_move(context: DecisionContext) -> MoveFence | None:
    """The move that makes the active colour the executor; None when it is, or when the fence is not ours to move."""
    report, owner, row = context.seen.database, context.owner, context.cutover_row
    if report is None or report.error or context.lost_its_fence:
        return None
    if row and row.moves_fence_to:
        return None  # the cutover itself says which colour executes, and from when
    if context.state.replaces_database or context.state.fences_for_restore or earlier_data_hold(context):
        return None
    fence, active = report.fence, context.desired.active.release
    known = context.engine.status.active.epoch if context.engine.status.active else 0
    if fence is not None:
        if not owner.owns(fence):
            return None
        # An engine that was deleted and applied again has a new uid: pods of the old one must not go on executing.
        right = fence.owner == str(owner) and executes(fence, [active], known_epoch=known)
        if right and not lets_others_execute(fence, context.desired, context.seen, active):
            return None
    move = install_move(owner, known)
    return fence_move(active, context.desired, context.seen, known_epoch=known, fence=fence, cutover=move)


def install_move(owner: Owner, known_epoch: int) -> str:
    """The id of a move outside of a cutover; that of the first installation has epoch 0."""
    return f"install-{owner.uid}-{known_epoch}"


def fence_to_update(context: DecisionContext) -> tuple[UpdateFence, ...]:
    """Brings the fence of an earlier release up to date, unless traffic waits: a move of the fence does that itself."""
    if traffic_waits(context.state):
        return ()
    report = context.seen.database
    ours = report is not None and report.fence is not None and context.owner.owns(report.fence)
    return (UpdateFence(),) if ours and report and report.schema and report.schema.is_older else ()
