"""The action of each phase: the effects that are needed now, in order.

What the live Service selects, or what may execute, is never scaled down.
"""

from rtx_operator.operations.effects import Apply, Delete, Effect, EffectName, Scale
from rtx_operator.operations.retirement.checks import no_job_of_an_earlier_try
from rtx_operator.operations.retirement.context import RetirementContext


def empty(context: RetirementContext) -> tuple[Effect, ...]:
    """Scales the previous release's Deployment to 0, and deletes a failed contract Job of an earlier try."""
    deployment, job = context.deployment, context.contract_job
    if deployment and context.size:
        if not (context.only_active_executes and context.active_is_selected):
            return ()
        return (Scale(EffectName.EMPTY, deployment, 0),)
    return (Delete(EffectName.PRUNE, (job,)),) if job and no_job_of_an_earlier_try(context) else ()


def contract(context: RetirementContext) -> tuple[Effect, ...]:
    """Runs the contract migrations, unless a pod of an older release has come back meanwhile."""
    if context.pods_left:
        return ()
    return (Apply(EffectName.CONTRACT, (context.desired.active.contract,)),)
