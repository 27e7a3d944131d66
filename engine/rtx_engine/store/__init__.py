"""The engine's data in PostgreSQL.

Law: only this package uses SQL. A pod reads over one connection and places orders over the others (DB_CONNECTIONS); it
watches the fence over one more.
What is remembered of an account is only a guess that a write compares with the row; it goes with its epoch and its
connection.
"""

from rtx_engine.store.errors import (
    OrderError,
    OrderErrorReason,
    OverloadedError,
    TooManyWaitingError,
    UnavailableError,
    UsernameTakenError,
)
from rtx_engine.store.fence import FenceState, FenceWatch
from rtx_engine.store.journal import Entered
from rtx_engine.store.lookup import NotPlaced
from rtx_engine.store.plan import Placed
from rtx_engine.store.reader import Reader
from rtx_engine.store.store import Store

__all__ = [
    "Entered",
    "FenceState",
    "FenceWatch",
    "NotPlaced",
    "OrderError",
    "OrderErrorReason",
    "OverloadedError",
    "Placed",
    "Reader",
    "Store",
    "TooManyWaitingError",
    "UnavailableError",
    "UsernameTakenError",
]
