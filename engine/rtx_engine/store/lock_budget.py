"""How long a statement waits for locks on the connection for reads, where every read of the pod waits behind it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg  # type: ignore[import-untyped]  # ships no types

from rtx_engine.store.session import UnconfirmedError

MILLISECONDS = 20

_SET = f"SET lock_timeout = {MILLISECONDS}"
_RESET = "RESET lock_timeout"
SET_LOCAL = f"SET LOCAL lock_timeout = {MILLISECONDS}"  # for a transaction of several statements


@asynccontextmanager
async def lock_budget(connection: "asyncpg.Connection") -> AsyncIterator[None]:
    """Statements within raise asyncpg.LockNotAvailableError instead of waiting for a lock for longer.

    After other errors than those of the server, and UnconfirmedError, the session drops the connection.
    """
    await connection.execute(_SET)
    try:
        yield
    except (asyncpg.PostgresError, UnconfirmedError):
        await connection.execute(_RESET)
        raise
    await connection.execute(_RESET)
