"""Moves the fence of one test's database, as the operator does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from rtx_operator.cluster import postgres as fence
from rtx_operator.observation import Fence, FenceSchema, Owner

OWNER = Owner("rtx-trading", "rtx", "uid-1")


class Mover:
    """Moves the fence of one test's database."""

    def __init__(self, database: Any) -> None:
        self.database = database
        self.address = fence.Address("127.0.0.1", database.server.port, database.name)
        self.reader = fence.Reader()

    async def move(
        self,
        *executors: str,
        owner: Owner = OWNER,
        known: int = 0,
        cutover: str = "1.1.0-0a1b2c3d",
        expected: int | None = 1,
        revisions: tuple[str, ...] | None = ("r2",),
    ) -> Fence:
        return await fence.move(
            self.address, "operator", owner, executors or ("green",), revisions, known, cutover, expected_epoch=expected
        )

    async def read(self) -> Fence | None:
        return (await self.reader.read(self.address, "operator")).fence

    async def update(self) -> FenceSchema:
        return await fence.update_schema(self.address, "operator")

    async def history(self) -> list[tuple[int, list[str], str]]:
        rows = await self.database.execute(
            "SELECT epoch, executors, cutover FROM rtx_operator.execution_fence_history ORDER BY epoch"
        )
        return [tuple(row) for row in rows]

    async def row(self) -> tuple[int, list[str], str]:
        [row] = await self.database.execute("SELECT epoch, executors, cutover FROM rtx_operator.execution_fence")
        return tuple(row)

    async def readers(self) -> list[int]:
        """The server's processes that serve the operator's looks."""
        rows = await self.database.execute("SELECT pid FROM pg_stat_activity WHERE usename = 'rtx_operator'")
        return [row["pid"] for row in rows]

    async def sessions(self) -> set[int]:
        """The server's processes that serve somebody."""
        return {row["pid"] for row in await self.database.execute("SELECT pid FROM pg_stat_activity")}

    @asynccontextmanager
    async def frozen(self, name: str) -> AsyncIterator[asyncpg.Connection]:
        """A session that took the fence as an order does, and then does nothing; `name` is its application_name."""
        timeouts = {"idle_in_transaction_session_timeout": "0", "statement_timeout": "0"}
        session = await self.database.connect("rtx_engine", application_name=name, **timeouts)
        try:
            await session.execute("BEGIN")
            await session.execute("SELECT set_config('rtx.colour', 'blue', false), set_config('rtx.epoch', '1', false)")
            await session.execute("SELECT rtx_operator.assert_executor()")
            yield session
        finally:
            session.terminate()
