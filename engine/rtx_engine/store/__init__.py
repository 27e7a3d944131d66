"""The engine's data in PostgreSQL.

Law: only this package uses SQL. A pod has two connections, one for the order path and one for everything else.
Nothing read from the database is cached for the next batch, so a pod that the fence names again has no stale data.
"""

from rtx_engine.store.errors import OrderError, OrderErrorReason, UnavailableError, UsernameTakenError
from rtx_engine.store.fence import FenceState, FenceWatch
from rtx_engine.store.plan import Placed
from rtx_engine.store.reader import Reader
from rtx_engine.store.store import Store

__all__ = [
    "FenceState",
    "FenceWatch",
    "OrderError",
    "OrderErrorReason",
    "Placed",
    "Reader",
    "Store",
    "UnavailableError",
    "UsernameTakenError",
]
