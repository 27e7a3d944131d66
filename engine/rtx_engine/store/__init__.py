"""All that the engine keeps, in PostgreSQL.

Law: only this package speaks SQL. A pod has two connections, one for the order path and one for everything else.
Nothing read from the database is kept for the next batch: a pod that the fence names again holds nothing stale.
"""

from rtx_engine.store.batch import Placed
from rtx_engine.store.errors import OrderError, OrderErrorReason, UnavailableError, UsernameTakenError
from rtx_engine.store.fence import FenceState, FenceWatch
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
