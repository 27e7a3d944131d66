"""The execution fence: the one row in an engine's database that names who may execute orders, and since which epoch.

The database is the authority and the TradingEngine's status only remembers. A row that is behind what was remembered
(a failover or a restore lost a move), that names other executors, or that an earlier incarnation of the same engine
owned, is moved to a higher epoch; a row that another engine owns is left alone, and so is one that has moved since the
decision to move it was made.

A frozen engine pod must not hold the fence for ever. If its application_name says that it is a colour, who holds the
fence is ended: after one time-out when it has said nothing all the while, since orders stand still with us, and after
`TRIES` of them in any case.
"""

from rtx_operator.cluster.postgres.mover import DatabaseInUseError, FenceChangedError, move
from rtx_operator.cluster.postgres.reader import Reader
from rtx_operator.cluster.postgres.session import Address, FenceUnreachableError

__all__ = ["Address", "DatabaseInUseError", "FenceChangedError", "FenceUnreachableError", "Reader", "move"]
