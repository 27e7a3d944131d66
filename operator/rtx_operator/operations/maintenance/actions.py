"""The action of each phase: the effects that are needed now, in order."""

from rtx_operator.operations.effects import Apply, Effect, EffectName
from rtx_operator.operations.maintenance.context import MaintenanceContext


def check(context: MaintenanceContext) -> tuple[Effect, ...]:
    """Records the new revision, so that the next leader can make it whatever spec says by then, and tries it."""
    server = context.server
    job = (server.check,) if server.check else ()
    return (Apply(EffectName.CHECK, (*server.renewed[:1], *job)),) if server.renewed else ()


def restart(context: MaintenanceContext) -> tuple[Effect, ...]:
    """Gives the server the new pod."""
    server = context.server
    return (Apply(EffectName.RESTART, server.renewed),) if server.renewed else ()


def restore(context: MaintenanceContext) -> tuple[Effect, ...]:
    """Gives the server a pod as before, unless that is the one that runs."""
    return (Apply(EffectName.RESTORE, context.server.restored),)
