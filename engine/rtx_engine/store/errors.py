"""Why the store did not do what it was asked, in the words that a client is answered with."""

from enum import StrEnum

import asyncpg  # type: ignore[import-untyped]  # ships no types


class OrderErrorReason(StrEnum):
    """Why an order got no result. But for Conflict and UnknownAccount, trying again with the same id is safe."""

    FENCED = "Fenced"  # another colour executes
    OVERLOADED = "Overloaded"  # the queue is full
    UNAVAILABLE = "Unavailable"  # the database did not take it; nothing was recorded
    OUTCOME_UNKNOWN = "OutcomeUnknown"  # the database went away at COMMIT and has not come back to say what it did
    CONFLICT = "Conflict"  # the client_order_id stands for another order
    UNKNOWN_ACCOUNT = "UnknownAccount"
    INTERNAL = "Internal"


class OrderError(Exception):
    """An order without a result; the message is one sentence for its sender."""

    def __init__(self, reason: OrderErrorReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class UnavailableError(Exception):
    """The database does not answer; the message is one sentence."""


class UsernameTakenError(Exception):
    """There is an account of that name already."""


# What a database does that fails over, restarts or is cut off. The connection is given up: its state is unknown.
CONNECTION_LOST = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # a statement cancelled by its timeout, a server that shuts down or starts up
    asyncpg.InsufficientResourcesError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,  # the primary that we knew has become a standby
    asyncpg.InvalidAuthorizationSpecificationError,  # a password that is being rotated
)
# What the next try may do better on the same connection.
CONTENTION = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.LockNotAvailableError)

FENCED_STATE = "RX001"  # SQLSTATE of rtx_operator.assert_executor()


def is_fenced(error: BaseException) -> bool:
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate == FENCED_STATE
