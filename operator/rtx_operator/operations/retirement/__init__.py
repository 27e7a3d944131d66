"""The retirement of the previous release, once its time is over.

1. Emptying: its Deployment is scaled to 0, and every pod of another revision than the active one ends.
2. Contracting: the contract migrations run, by a Job of the active release's image.
3. Succeeded: nothing of the previous release is left to go back to.
A pod that does not end, contract migrations that fail, or a cutover that is due while none run, lead to Failed. That
bars going back behind it, and nothing else: the next cutover begins as if it had succeeded, and the retirement after
that runs what is still pending.

Law: the contract migrations run only while no pod of an older release can run a process; they take away what it needs.
"""

from rtx_operator.api.enums import OperationName, RetirementPhase
from rtx_operator.operations.machine import Operation
from rtx_operator.operations.retirement.context import RetirementContext, context_of
from rtx_operator.operations.retirement.phases import PHASES
from rtx_operator.operations.retirement.record import note, own_event, settle
from rtx_operator.operations.retirement.trigger import trigger

RETIREMENT: Operation[RetirementPhase, RetirementContext] = Operation(
    name=OperationName.RETIREMENT,
    phases=PHASES,
    trigger=trigger,
    context=context_of,
    note=note,
    own_event=own_event,
    settle=settle,
)
