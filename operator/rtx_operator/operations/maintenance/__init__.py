"""The maintenance of database or cache: the only way in which a user's edit, or a refresh, replaces its pods.

1. Pending: it waits for one of the fleet's slots (MAX_MAINTENANCE), and while another operation moves. One that waits
   for a person gives way to that of the other server.
2. Checking: a Job tries the new pod's image, on a node where the volume can be. The running pod stays.
3. Restarting: the StatefulSet gets the new pod. Of three database servers the standbys go first, one at a time; then
   one of them takes over, and the pod that led goes last (replacement.py).
4. Verifying: the pods are ready; the database answers and has its fence.
5. Succeeded: status names the new revision, from which the server is repaired from now on.
A check that fails leads to Failed, and nothing was touched. A new pod that does not come up leads to RollingBack, which
brings a pod as before, and then to Failed. What failed is tried again when spec or an annotation changes.

Law: a pod is taken away only in Restarting and RollingBack, after its image was run on a node where its volume can be;
never beside a cutover or a retirement that moves something; a rollback that is stuck stands still (arbiter.py).
"""

from rtx_operator.api.enums import MaintenancePhase, OperationName
from rtx_operator.operations.machine import Operation
from rtx_operator.operations.maintenance.context import MaintenanceContext, context_of
from rtx_operator.operations.maintenance.phases import PHASES
from rtx_operator.operations.maintenance.record import note, own_event, settle
from rtx_operator.operations.maintenance.trigger import trigger

MAINTENANCE: Operation[MaintenancePhase, MaintenanceContext] = Operation(
    name=OperationName.MAINTENANCE,
    phases=PHASES,
    trigger=trigger,
    context=context_of,
    note=note,
    own_event=own_event,
    settle=settle,
)
