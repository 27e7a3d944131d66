"""The execution fence: one row in an engine's database that names which colours may execute orders, at which epoch.

Law: the database is the authority. The TradingEngine's status only remembers what the operator last read there.

- A move always raises the epoch above both the row's epoch and the epoch in status, so a failover or a restore that
  lost a move is repaired by the next one.
- The operator moves only a row that this TradingEngine owns, an earlier incarnation of it (another uid) included.
- The operator moves only a row that still has the epoch at which the decision was made (ADR 0008).
- A move counts when a standby has it, where commits wait for one: a failover does not lose it (ADR 0158).
- A frozen engine pod cannot hold the fence for ever: the move ends the sessions of colours that hold it (holders.py).

| module       | content                                                                        |
|--------------|--------------------------------------------------------------------------------|
| `session.py` | address, deadlines, connecting as the operator's role                          |
| `schema.py`  | `fence.sql`: the table, its history, the functions that engines call; `steps/`: from earlier versions |
| `reader.py`  | reads the row, over one session per engine                                     |
| `mover.py`   | moves the row, in one transaction                                              |
| `log.py`     | sends the database's log up to now to the repository                           |
| `confirmation.py` | whether a standby has what the database shows                         |
| `holders.py` | finds and ends the sessions that block a move                                  |
"""

from rtx_operator.cluster.postgres.log import switch_log
from rtx_operator.cluster.postgres.mover import DatabaseInUseError, FenceChangedError, move, update_schema
from rtx_operator.cluster.postgres.reader import READ_DEADLINE_SECONDS, Reader
from rtx_operator.cluster.postgres.session import Address, FenceUnreachableError

__all__ = [
    "READ_DEADLINE_SECONDS",
    "Address",
    "DatabaseInUseError",
    "FenceChangedError",
    "FenceUnreachableError",
    "Reader",
    "move",
    "switch_log",
    "update_schema",
]
