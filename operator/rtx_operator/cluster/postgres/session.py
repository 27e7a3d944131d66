"""Sessions of the role rtx_operator in an engine's database. Every wait in them has a deadline."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # ships no types

from rtx_operator.api.names import DATABASE_NAME

CONNECT_DEADLINE_SECONDS = 5.0
STATEMENT_DEADLINE_SECONDS = 5.0  # for each statement
SESSION_DEADLINE_SECONDS = 10.0  # for a move: one that a dead database does not answer ends after the connection's 5 s
LOCK_TIMEOUT_MS = 300  # for one try of a move; orders queue behind the waiting move
# PostgreSQL ends a move whose operator is frozen after this time, so that orders continue.
IDLE_IN_TRANSACTION_TIMEOUT_MS = 500
ROLE = "rtx_operator"
# asyncpg raises InternalClientError when the server ends the session while the client starts a statement.
UNREACHABLE = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class FenceUnreachableError(Exception):
    """The database did not answer in time, or refused the operator. The message has its address and its error."""


@dataclass(frozen=True, slots=True)
class Address:
    """Host, TCP port and name of an engine's database."""

    host: str
    port: int
    database: str = DATABASE_NAME


@asynccontextmanager
async def connected(address: Address, password: str) -> AsyncIterator[Any]:
    """A connection as the operator's role, closed at the end; for SESSION_DEADLINE_SECONDS at most.

    Raises FenceUnreachableError for every error in UNREACHABLE, also for one from the body of the `async with`.
    """
    try:
        async with asyncio.timeout(SESSION_DEADLINE_SECONDS):
            connection = await asyncpg.connect(**session_arguments(address, password))
            try:
                yield connection
            except (*UNREACHABLE, asyncio.CancelledError):
                connection.terminate()  # a dead server would answer no farewell
                raise
            finally:
                await connection.close(timeout=CONNECT_DEADLINE_SECONDS)
    except UNREACHABLE as error:
        raise unreachable_error(address, error) from error


def session_arguments(address: Address, password: str) -> dict[str, Any]:
    """The arguments of asyncpg.connect or create_pool for a session as the operator's role."""
    return {
        "host": address.host,
        "port": address.port,
        "user": ROLE,
        "password": password,
        "database": address.database,
        "timeout": CONNECT_DEADLINE_SECONDS,
        "command_timeout": STATEMENT_DEADLINE_SECONDS,
        "server_settings": {
            "application_name": ROLE,
            "lock_timeout": f"{LOCK_TIMEOUT_MS}ms",
            "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_TIMEOUT_MS}ms",
        },
    }


def unreachable_error(address: Address, error: BaseException) -> FenceUnreachableError:
    """A FenceUnreachableError whose message has the database's address and the text of `error`."""
    return FenceUnreachableError(f"{address.host}:{address.port}: {str(error) or type(error).__name__}")
