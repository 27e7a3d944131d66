"""The action of each phase: the effects that are needed now, in order.

What the live Service selects, or what may execute, is never scaled down.
"""

from rtx_operator.operations.effects import Apply, Delete, Effect, EffectName, Scale
from rtx_operator.operations.retirement.checks import active_serves, no_job_of_an_earlier_try
from rtx_operator.operations.retirement.context import RetirementContext


def empty(context: RetirementContext) -> tuple[Effect, ...]:
    """Scales the previous release's Deployment to 0, and deletes a failed contract Job of an earlier try."""
    job = context.contract_job
    if context.size:
        return _scale_to_zero(context)
    return (Delete(EffectName.PRUNE, (job,)),) if job and no_job_of_an_earlier_try(context) else ()


def contract(context: RetirementContext) -> tuple[Effect, ...]:
    """Runs the contract migrations, unless an older release is back or may be needed: they bar the way back.

    Nor on data that a restore brought back and that were not migrated since: they take away what was not copied yet.
    """
    if context.size:
        return _scale_to_zero(context)
    return (
        ()
        if context.pods_left or active_serves(context) or not context.may_contract
        else (Apply(EffectName.CONTRACT, (context.desired.active.contract,)),)
    )


def _scale_to_zero(context: RetirementContext) -> tuple[Effect, ...]:
    deployment = context.deployment
    if deployment is None or context.is_kept or context.is_active or not context.may_be_emptied:
        return ()
    return (Scale(EffectName.EMPTY, deployment, 0),)
