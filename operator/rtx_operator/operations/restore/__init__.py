"""A restore: the database of an engine goes back to what a backup, or a moment, had.

1. Pending: it waits while another operation moves, and until what it needs is there.
2. Validating: the database sends its log; a Job checks, by the repository alone, that the target can be restored.
3. Fencing: the fence names nobody. From here on no order is executed.
4. Stopping: the database's pods end, and with them all that could write to its volumes.
5. Restoring: a Job restores beside the data that are there, replays the log, and lets the fence name nobody in it.
6. Swapping: Jobs set the data aside on each volume, and the restored ones take their place; Patroni's ConfigMaps say
   nothing of a cluster any more; the database gets a new folder in the repository.
7. Starting: the first server starts with the restored data, the others copy them.
8. Resuming: the active release's migrations run again, and the fence names its colour, at an epoch above all before.
9. Succeeded: the data of before are kept until the TradingEngineRestore is confirmed.
What fails before Fencing has touched nothing. What fails before Swapping leads to RollingBack: the same data, pods and
fence come back. What fails in Swapping or Starting leads to Undoing first, which brings the data of before back.

Law: nobody executes from Fencing until the data are whole again. The data of before are never written to, nor is their
folder in the repository. A target is checked before anything is touched.
"""

from rtx_operator.api.enums import OperationName, RestorePhase
from rtx_operator.operations.machine import Operation
from rtx_operator.operations.restore.context import RestoreContext, context_of
from rtx_operator.operations.restore.phases import PHASES
from rtx_operator.operations.restore.record import note, own_event, settle
from rtx_operator.operations.restore.trigger import trigger

RESTORE: Operation[RestorePhase, RestoreContext] = Operation(
    name=OperationName.RESTORE,
    phases=PHASES,
    trigger=trigger,
    context=context_of,
    note=note,
    own_event=own_event,
    settle=settle,
)
