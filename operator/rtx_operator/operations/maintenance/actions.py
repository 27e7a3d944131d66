"""The action of each phase: the effects that are needed now, in order."""

from rtx_operator.api.names import Names
from rtx_operator.operations.database import switch_over
from rtx_operator.operations.effects import Apply, Effect, EffectName, Evict
from rtx_operator.operations.maintenance.context import MaintenanceContext
from rtx_operator.operations.maintenance.replacement import next_turn


def check(context: MaintenanceContext) -> tuple[Effect, ...]:
    """Records the new revision, so that the next leader can make it whatever spec says by then, and tries it."""
    server = context.server
    return (Apply(EffectName.CHECK, (*server.renewed[:1], *server.checks)),) if server.renewed else ()


def restart(context: MaintenanceContext) -> tuple[Effect, ...]:
    """Gives the server its new pods."""
    server = context.server
    if not server.renewed:
        return ()
    return (Apply(EffectName.RESTART, server.renewed), *_turn(context, context.maintenance.to))


def restore(context: MaintenanceContext) -> tuple[Effect, ...]:
    """Gives the server pods as before, but for those that are so still."""
    return (Apply(EffectName.RESTORE, context.server.kept), *_turn(context, context.maintenance.from_))


def _turn(context: MaintenanceContext, revision: str) -> tuple[Effect, ...]:
    turn = next_turn(context, revision)
    if turn is None:
        return ()
    if turn.replace is not None:
        return (Evict((turn.replace,)),)
    return switch_over(context.seen, Names(context.engine.name), turn.leader) if turn.leader else ()
