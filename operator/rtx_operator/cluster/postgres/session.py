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
GIVE_UP_SECONDS = 1.0  # for the server to say that it has cancelled a statement
LOCK_TIMEOUT_MS = 300  # for one try of a move; orders queue behind the waiting move
# PostgreSQL ends a move whose operator is frozen after this time, so that orders continue.
IDLE_IN_TRANSACTION_TIMEOUT_MS = 500
ROLE = "rtx_operator"
_READ_ONLY = "the server is read-only: a standby, or no longer the primary"
# Which a server reports when it changes them, unasked.
_READ_ONLY_SETTINGS = ("in_hot_standby", "default_transaction_read_only")
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
                await give_up(connection)
                raise
            finally:
                await connection.close(timeout=CONNECT_DEADLINE_SECONDS)
    except UNREACHABLE as error:
        raise unreachable_error(address, error) from error


async def give_up(connection: Any) -> None:
    """Close the connection; what still runs on it is cancelled first.

    A backend that waits for a standby or a lock does not notice that its client has gone, and would keep its own locks.
    """
    try:
        async with asyncio.timeout(GIVE_UP_SECONDS):
            await connection.execute("SELECT")  # asyncpg has asked for the cancellation, and waits for it first
    except UNREACHABLE:
        return
    finally:
        connection.terminate()  # a dead server would answer no farewell


def session_arguments(address: Address, password: str) -> dict[str, Any]:
    """The arguments of asyncpg.connect or create_pool for a session as the operator's role."""
    return {
        "host": address.host,
        "port": address.port,
        "user": ROLE,
        "password": password,
        "database": address.database,
        "timeout": CONNECT_DEADLINE_SECONDS,
        "target_session_attrs": "read-write",
        "command_timeout": STATEMENT_DEADLINE_SECONDS,
        "server_settings": {
            "application_name": ROLE,
            "lock_timeout": f"{LOCK_TIMEOUT_MS}ms",
            "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_TIMEOUT_MS}ms",
        },
    }


def check_writable(connection: Any) -> None:
    """Raise ConnectionError if the server has become read-only: what it shows may be old, and stays so."""
    settings = connection.get_settings()
    if any(getattr(settings, name, "off") == "on" for name in _READ_ONLY_SETTINGS):
        raise ConnectionError(_READ_ONLY)


def unreachable_error(address: Address, error: BaseException) -> FenceUnreachableError:
    """A FenceUnreachableError whose message has the database's address and the text of `error`."""
    is_read_only = isinstance(error, asyncpg.TargetServerAttributeNotMatched)
    text = _READ_ONLY if is_read_only else str(error) or type(error).__name__
    return FenceUnreachableError(f"{address.host}:{address.port}: {text}")
