"""The blue-green cutover: from one release to another, and back, without failing a request.

1. Pending: a new record; nothing is made yet.
   BackingUp: a backup, with the log that it needs; where spec asks for none, it is left out. If it fails, so has the
   cutover, in RolledBack.
2. Migrating: the expand migrations of the new version, by a Job of its image.
3. Provisioning: the idle colour comes up, as large as the active one.
4. Testing: smoke tests on the new colour's own Service; every old pod reaches the new ones.
5. Switching: the gates once more; the fence moves, then the live Service and the autoscaler.
6. Monitoring: the old colour forwards and drains, the new one is monitored from the fence's move on.
7. Promoting: the new release is judged; the old one is kept as the previous one.
Whatever goes wrong from 2 to 6 leads to RollingBack: the fence, then Service and autoscaler go back; the new colour
ends. Where the old colour cannot come up, and spec asks for a third version, it leads to Failed: the next goes forward.

Law: the live Service never selects a colour that the fence does not name; what it selects is never made smaller.
"""

from rtx_operator.api.enums import CutoverPhase, OperationName
from rtx_operator.operations.cutover.context import CutoverContext, context_of
from rtx_operator.operations.cutover.phases import PHASES
from rtx_operator.operations.cutover.record import note, own_event, settle
from rtx_operator.operations.cutover.trigger import trigger
from rtx_operator.operations.machine import Operation

CUTOVER: Operation[CutoverPhase, CutoverContext] = Operation(
    name=OperationName.CUTOVER,
    phases=PHASES,
    trigger=trigger,
    context=context_of,
    note=note,
    own_event=own_event,
    settle=settle,
)
