"""Errors of the store; their messages go to clients."""

from enum import StrEnum

import asyncpg  # type: ignore[import-untyped]  # ships no types


class OrderErrorReason(StrEnum):
    """Why an order got no result. Except for Conflict and UnknownAccount, a retry with the same id is safe."""

    FENCED = "Fenced"  # another colour executes
    OVERLOADED = "Overloaded"  # the queue is full
    UNAVAILABLE = "Unavailable"  # the database did not accept it; nothing was recorded
    OUTCOME_UNKNOWN = "OutcomeUnknown"  # the connection was lost during COMMIT and did not come back in time
    CONFLICT = "Conflict"  # the client_order_id belongs to another order
    UNKNOWN_ACCOUNT = "UnknownAccount"
    INTERNAL = "Internal"


class OrderError(Exception):
    """An order without a result; the message is one sentence for the client."""

    def __init__(self, reason: OrderErrorReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class UnavailableError(Exception):
    """The database does not answer; the message is one sentence."""


class UsernameTakenError(Exception):
    """An account of that name exists."""


# Raised when the database fails over, restarts or is unreachable. The connection is dropped: its state is unknown.
CONNECTION_LOST = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # statement timeout, server shutdown or start
    asyncpg.InsufficientResourcesError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,  # the former primary is a standby now
    asyncpg.InvalidAuthorizationSpecificationError,  # during a password rotation
)
# A retry on the same connection may succeed.
CONTENTION = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.LockNotAvailableError)

FENCED_STATE = "RX001"  # SQLSTATE of rtx_operator.assert_executor()


def is_fenced(error: BaseException) -> bool:
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate == FENCED_STATE
