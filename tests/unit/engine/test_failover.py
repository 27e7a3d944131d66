"""The primary of three servers goes away under load: nothing acknowledged is lost, and nothing is executed twice."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from engine_ledger import unbalanced
from engine_pods import Pod
from engine_replication import ReplicatedServers
from rtx_engine.store import OrderError, OrderErrorReason

TIMEOUT_SECONDS = 30.0
CLIENTS = 8
MAY_BE_TRIED_AGAIN = (OrderErrorReason.UNAVAILABLE, OrderErrorReason.OUTCOME_UNKNOWN)


class Clients:
    """Each places one order after the other, and repeats one that got no result until it has one."""

    def __init__(self, pod: Pod, account_ids: list[int]) -> None:
        self._pod = pod
        self._account_ids = account_ids
        self._numbers = itertools.count()
        self.acknowledged: dict[tuple[int, str], int] = {}  # the order, and its number in its account
        self.unknown = 0
        self.acknowledged_at = 0.0  # the newest, by the event loop's clock

    async def trade(self, account_id: int) -> None:
        while True:
            await self.place(account_id, f"order-{next(self._numbers)}")

    async def place(self, account_id: int, client_order_id: str) -> None:
        while True:
            try:
                placed = await self._pod.place(account_id, client_order_id)
            except OrderError as error:
                if error.reason not in MAY_BE_TRIED_AGAIN:
                    raise
                self.unknown += error.reason is OrderErrorReason.OUTCOME_UNKNOWN
            else:
                self.acknowledged[account_id, client_order_id] = placed.execution.sequence
                self.acknowledged_at = asyncio.get_running_loop().time()
                return

    async def until_acknowledged(self, count: int) -> None:
        """Return when so many more are acknowledged."""
        count += len(self.acknowledged)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while len(self.acknowledged) < count:  # noqa: ASYNC110  # nothing tells of it
                await asyncio.sleep(0.005)


@asynccontextmanager
async def trading(pod: Pod) -> AsyncIterator[Clients]:
    """Inside the block clients trade; after it each has its last order's result."""
    clients = Clients(pod, [await pod.open_account(f"user-{number}") for number in range(CLIENTS)])
    tasks = [asyncio.create_task(clients.trade(account_id)) for account_id in clients._account_ids]
    try:
        await clients.until_acknowledged(20)
        yield clients
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def assert_nothing_lost_or_doubled(servers: ReplicatedServers, clients: Clients) -> None:
    rows = await servers.primary.execute("SELECT account_id, client_order_id, sequence FROM orders")
    found = {(row["account_id"], row["client_order_id"]): row["sequence"] for row in rows}
    assert len(found) == len(rows)
    assert {key: found.get(key) for key in clients.acknowledged} == clients.acknowledged
    assert await unbalanced(servers.database) == []


@pytest.mark.parametrize("fault", ["killed", "frozen", "cut off"])
async def test_failover(replicated: ReplicatedServers, start_pod, fault: str):
    pod: Pod = await start_pod(address=replicated.engine)
    async with trading(pod) as clients:
        old = replicated.primary
        began = asyncio.get_running_loop().time()
        match fault:
            case "killed":
                old.kill()
            case "frozen":
                old.freeze()
            case _:
                replicated.service.silent.add(old.port)
        await asyncio.sleep(7)
        await replicated.fail_over()
        writable = asyncio.get_running_loop().time()
        await clients.until_acknowledged(1)
        print(f"MEASURED {fault}: {asyncio.get_running_loop().time() - writable:.2f} s after, {writable - began:.2f}")
        await clients.until_acknowledged(100)
    await assert_nothing_lost_or_doubled(replicated, clients)
