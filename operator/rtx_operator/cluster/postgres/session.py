"""Sessions of the operator in an engine's database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # ships no types

from rtx_operator.api.names import DATABASE_NAME

CONNECT_DEADLINE_SECONDS = 5.0  # seconds
STATEMENT_DEADLINE_SECONDS = 5.0  # seconds, for each statement
SESSION_KEPT_SECONDS = 10.0  # that a session is kept for the next look
LOCK_TIMEOUT_MS = 300  # milliseconds that one try waits for the transactions under way: orders queue behind it
FROZEN_AFTER_MS = 500  # milliseconds without a word from us amid a move: the database ends it, so that orders go on
ROLE = "rtx_operator"
# InternalClientError: the server ended the session just as the client began a statement.
UNREACHABLE = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class FenceUnreachableError(Exception):
    """The database gave no answer, or refused us; the message says what it said."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where an engine's database listens."""

    host: str
    port: int
    database: str = DATABASE_NAME


@asynccontextmanager
async def connected(address: Address, password: str) -> AsyncIterator[Any]:
    """A connection as the operator's role; whatever goes wrong with it is a FenceUnreachableError."""
    try:
        connection = await asyncpg.connect(**session_arguments(address, password))
        try:
            yield connection
        finally:
            await connection.close(timeout=CONNECT_DEADLINE_SECONDS)
    except UNREACHABLE as error:
        raise unreachable_error(address, error) from error


def session_arguments(address: Address, password: str) -> dict[str, Any]:
    """What asyncpg needs for a session as the operator's role, each wait in it bounded."""
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
            "idle_in_transaction_session_timeout": f"{FROZEN_AFTER_MS}ms",
        },
    }


def unreachable_error(address: Address, error: BaseException) -> FenceUnreachableError:
    """`error`, one of UNREACHABLE, as a FenceUnreachableError that names the database."""
    return FenceUnreachableError(f"{address.host}:{address.port}: {str(error) or type(error).__name__}")
