"""What PostgreSQL's errors mean for the one who asked."""

import asyncpg  # type: ignore[import-untyped]  # ships no types

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
# Those of them after which nothing is committed: a statement timeout, or no longer the primary.
NOT_COMMITTED = (asyncpg.QueryCanceledError, asyncpg.ReadOnlySQLTransactionError)
# A retry on the same connection may succeed.
CONTENTION = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.LockNotAvailableError)

# Before the first migration: schema, tables or functions are not there, or not granted yet.
NOT_MIGRATED = (asyncpg.SyntaxOrAccessError, asyncpg.InvalidSchemaNameError)

READ_ONLY = "the server is read-only: a standby, or no longer the primary"

FENCED_STATE = "RX001"  # SQLSTATE of rtx_operator.assert_executor()


def costs_connection(error: BaseException) -> bool:
    """Whether the connection is of no further use. A statement that the server has cancelled costs none."""
    return isinstance(error, CONNECTION_LOST) and not isinstance(error, asyncpg.QueryCanceledError)


def is_fenced(error: BaseException) -> bool:
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate == FENCED_STATE


def lacks_partition(error: BaseException) -> bool:
    """Whether a row has no partition: PostgreSQL reports it as a check that fails, but one without a name."""
    return isinstance(error, asyncpg.CheckViolationError) and not error.constraint_name
