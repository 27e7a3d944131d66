"""The objects to apply: those that must be as desired whatever operation runs. What an operation changes right now is
among its effects instead.
"""

from rtx_operator.decision.backups import first_backup
from rtx_operator.decision.context import DecisionContext
from rtx_operator.decision.earlier_data import migrates_earlier_data, shows_earlier_data
from rtx_operator.decision.fence import fence_to_move
from rtx_operator.decision.install import BEFORE_COLOUR, BEFORE_MIGRATION, credentials_exist
from rtx_operator.desired.state import DesiredColour
from rtx_operator.observation import Object, executes, revision_of
from rtx_operator.results import first_unmet

# Without their passwords, pods that run would be replaced by pods that cannot start.
_WITH_PASSWORDS = frozenset({"Secret", "StatefulSet", "Deployment", "Job"})


def objects_to_apply(context: DecisionContext) -> tuple[Object, ...]:
    """In the order in which they are to be applied."""
    desired, has_passwords = context.desired, credentials_exist(context) is None
    if context.is_installed:
        wanted = (*desired.base_objects, *desired.active.objects, *_idle_objects(context), *_traffic_objects(context))
        wanted += (desired.active.renew,) if migrates_earlier_data(context) else ()
        wanted += first_backup(context)
        return wanted if has_passwords else tuple(one for one in wanted if one["kind"] not in _WITH_PASSWORDS)
    if not has_passwords:
        return ()  # every pod would hang on the missing Secret
    wanted = desired.base_objects
    if first_unmet(context, BEFORE_MIGRATION) is None:
        # Recorded first: another release of the operator goes on with the Job that this one has begun.
        wanted += (desired.active.controller_revision, desired.active.install)
    if first_unmet(context, BEFORE_COLOUR) is None:
        traffic = desired.traffic[desired.active.colour]
        wanted += (*desired.active.objects[1:], traffic.select, *traffic.scaling)
    return wanted


def _idle_objects(context: DecisionContext) -> tuple[Object, ...]:
    """The other colour's, once they have been made and as long as they may be needed."""
    idle, row, previous = context.desired.idle, context.cutover_row, context.state.previous
    if idle is None:
        return ()
    if row and not row.only_waits:
        return idle.objects if row.repairs_both or _executes_amid_rollback(context, idle) else ()
    return idle.objects if previous is not None and previous.revision == idle.revision.hash else ()


def _executes_amid_rollback(context: DecisionContext, idle: DesiredColour) -> bool:
    """The new colour executes until a rollback has moved the fence, which may take as long as the old one is down."""
    row, name = context.cutover_row, idle.objects[-1]["metadata"]["name"]
    if row is None or row.moves_fence_to is None or not executes(context.fence, [idle.release]):
        return False
    live = context.seen.child("Deployment", name)  # of another revision: the previous release's, whose place it is
    return live is None or revision_of(live) == idle.revision.hash


def _traffic_objects(context: DecisionContext) -> tuple[Object, ...]:
    """The live Service and the autoscaler, on the colours on which a cutover has put them."""
    desired, cutover, row = context.desired, context.cutover, context.cutover_row
    # The live Service follows the fence: it stays where it is while the fence is to move.
    fence_moves = row.moves_fence_to if row else shows_earlier_data(context) or fence_to_move(context)
    selected = desired.selected(context.seen) if fence_moves else None
    if cutover is None or row is None:
        traffic = desired.traffic[selected or desired.active.colour]
        return (traffic.select, *desired.traffic[desired.active.colour].scaling)
    select = desired.traffic[selected or desired.active.colour].select
    return (select, *(desired.traffic[row.scales.release(cutover).colour].scaling if row.scales else ()))
