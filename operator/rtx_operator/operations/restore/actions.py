"""The action of each phase: the effects that are needed now, in order."""

from datetime import timedelta

from rtx_operator.api.names import Names
from rtx_operator.operations.effects import Apply, Delete, Effect, EffectName, ForgetCluster, MoveFence, SwitchLog
from rtx_operator.operations.restore import checks
from rtx_operator.operations.restore.context import RestoreContext
from rtx_operator.results import worst_unmet

# A database whose log cannot be sent keeps it on its volume: each switch is 16 MiB more.
SWITCH_FOR = timedelta(seconds=5)


def validate(context: RestoreContext) -> tuple[Effect, ...]:
    """The database's log up to now is what the target is checked by, so it is sent first, if there is a database."""
    jobs = context.desired.restore
    if jobs is None:
        return ()
    switches = (SwitchLog(),) if context.answers and context.waited < SWITCH_FOR else ()
    return (*switches, Apply(EffectName.CHECK_SOURCE, (jobs.check,)))


def fence(context: RestoreContext) -> tuple[Effect, ...]:
    """Nobody executes; the epoch is higher, by which restored data are known as earlier ones."""
    fence = context.fence
    if fence is None or not context.owner.owns(fence) or not fence.executors:
        return ()
    move = MoveFence(
        executors=(),
        revisions=None,
        known_epoch=context.known_epoch,
        expected_epoch=fence.epoch,
        cutover=f"restore-{context.restore.id}",
    )
    return (move,)


def restore(context: RestoreContext) -> tuple[Effect, ...]:
    jobs = context.desired.restore
    return (Apply(EffectName.RESTORE_DATA, (jobs.restore,)),) if jobs else ()


def swap(context: RestoreContext) -> tuple[Effect, ...]:
    """First the data, then what Patroni says of them: a server that starts would take the one for the other."""
    jobs = context.desired.restore
    if jobs is None:
        return ()
    forgets = (_forget(context),) if worst_unmet(context, (checks.swapped,)) is None else ()
    return (Apply(EffectName.SWAP_DATA, jobs.swaps), *forgets)


def undo(context: RestoreContext) -> tuple[Effect, ...]:
    """Once the servers have ended: they have the restored data open."""
    jobs = context.desired.restore
    if jobs is None or worst_unmet(context, (checks.servers_have_ended,)):
        return ()
    if late := checks.unended_swaps(context):
        return (Delete(EffectName.BRING_BACK_DATA, late),)
    forgets = (_forget(context),) if worst_unmet(context, (checks.undone,)) is None else ()
    return (Apply(EffectName.BRING_BACK_DATA, jobs.undos), *forgets)


def _forget(context: RestoreContext) -> ForgetCluster:
    names = Names(context.engine.name)
    # The one by which a server knows that there is a cluster comes last.
    return ForgetCluster(
        (names.database_leader, names.database_switchover, names.database_quorum, names.database_configuration)
    )
