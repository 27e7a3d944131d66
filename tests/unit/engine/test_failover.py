"""The primary of three servers goes away under load: nothing acknowledged is lost, and nothing is executed twice."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest
from engine_ledger import unbalanced
from engine_pods import Pod
from engine_postgres import migrate
from engine_replication import ReplicatedServers
from rtx_engine.domain.orders import Execution
from rtx_engine.store import OrderError, OrderErrorReason, UnavailableError
from rtx_engine.store.writer import Limits

TIMEOUT_SECONDS = 60.0
CLIENTS = 8
MAY_BE_TRIED_AGAIN = (OrderErrorReason.UNAVAILABLE, OrderErrorReason.OUTCOME_UNKNOWN, OrderErrorReason.FENCED)


class Clients:
    """Each places one order after the other, and repeats one that got no result until it has one."""

    def __init__(self, pod: Pod) -> None:
        self._pod = pod
        self._numbers = itertools.count()
        self.acknowledged: dict[tuple[int, str], int] = {}  # the order, and its number in its account
        self.refused = 0  # attempts

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
                self.refused += 1
                await asyncio.sleep(0.02)
            else:
                self.acknowledged[account_id, client_order_id] = placed.execution.sequence
                return

    async def until_acknowledged(self, count: int) -> None:
        """Return when so many more are acknowledged."""
        count += len(self.acknowledged)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while len(self.acknowledged) < count:  # noqa: ASYNC110  # nothing tells of it
                await asyncio.sleep(0.005)

    async def until_refused(self, count: int) -> None:
        """Return when so many more attempts were refused."""
        count += self.refused
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while self.refused < count:  # noqa: ASYNC110  # as above
                await asyncio.sleep(0.005)


@asynccontextmanager
async def trading(pod: Pod) -> AsyncIterator[Clients]:
    """Inside the block clients trade, each on its own account."""
    clients = Clients(pod)
    account_ids = [await pod.open_account(f"user-{number}") for number in range(CLIENTS)]
    tasks = [asyncio.create_task(clients.trade(account_id)) for account_id in account_ids]
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


def end(servers: ReplicatedServers, fault: str) -> None:
    match fault:
        case "killed":
            servers.primary.kill()
        case "frozen":
            servers.primary.freeze()
        case "cut off":
            servers.service.silent.add(servers.primary.port)


@pytest.mark.parametrize("fault", ["killed", "frozen", "cut off"])
async def test_orders_go_on_at_the_standby_that_takes_over(replicated: ReplicatedServers, start_pod, fault: str):
    # given a pod under load, when its primary is lost and a standby takes over at the same address
    pod: Pod = await start_pod(address=replicated.engine)
    async with trading(pod) as clients:
        end(replicated, fault)
        await replicated.fail_over()

        # then clients get results again
        await clients.until_acknowledged(100)

    # and all that was ever acknowledged is at the new primary, once
    await assert_nothing_lost_or_doubled(replicated, clients)


async def test_primary_that_thaws_acknowledges_nothing_and_is_left(replicated: ReplicatedServers, start_pod):
    # given a frozen primary that has orders in its sockets, and a standby that has taken over
    pod: Pod = await start_pod(address=replicated.engine)
    async with trading(pod) as clients:
        old = replicated.primary
        old.freeze()
        await asyncio.sleep(0)  # the clients' orders are sent
        await replicated.fail_over()

        # when the old one goes on, and then comes back as a standby to which the address leads for a moment
        old.thaw()
        await clients.until_acknowledged(50)
        old.kill()
        old.start(replicated.primary)
        replicated.service.target = old.port
        replicated.service.reset()
        await clients.until_refused(10)
        replicated.service.target = replicated.primary.port
        await clients.until_acknowledged(50)

    # then all that was acknowledged is at the new primary, once
    await assert_nothing_lost_or_doubled(replicated, clients)


async def test_order_without_a_standby_is_unknown_and_then_found_once(replicated: ReplicatedServers, start_pod):
    # given a pod whose standbys are all gone
    pod: Pod = await start_pod(address=replicated.engine, limits=Limits(order_timeout_seconds=1.0))
    account_id = await pod.open_account("ada")
    for standby in replicated.standbys:
        standby.freeze()

    # when an order is placed, then nobody says that it was, or that it was not
    with pytest.raises(OrderError, match="no standby confirms") as refusal:
        await pod.place(account_id, "one")
    assert refusal.value.reason is OrderErrorReason.OUTCOME_UNKNOWN
    with pytest.raises(UnavailableError):
        await pod.store.lookup.find(account_id, "one")

    # and with a standby it is found as it was
    for standby in replicated.standbys:
        standby.thaw()
    found = await find_in_time(pod, account_id, "one")
    placed = await pod.place(account_id, "one")
    assert placed.replayed
    assert placed.execution == found
    assert await unbalanced(replicated.database) == []


async def find_in_time(pod: Pod, account_id: int, client_order_id: str) -> Execution | None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            with suppress(UnavailableError):
                return await pod.store.lookup.find(account_id, client_order_id)
            await asyncio.sleep(0.05)


async def test_epochs_only_grow_over_failovers(replicated: ReplicatedServers, start_pod):
    # given colours between which the fence moves while primaries die
    pod: Pod = await start_pod(address=replicated.engine)
    seen: list[int] = []
    pod.store.fence.on_change(lambda state: seen.append(state.epoch))
    async with trading(pod) as clients:
        for executors in (("green",), ("blue",)):
            await replicated.database.move_fence(*executors)
        replicated.primary.kill()
        await replicated.fail_over()
        await replicated.database.move_fence("blue")

        # then the pod follows, and executes at the newest epoch
        await clients.until_acknowledged(20)
    assert seen == sorted(seen)
    assert seen[-1] == 4
    await assert_nothing_lost_or_doubled(replicated, clients)


async def test_migration_waits_for_a_server_that_can_be_written(replicated: ReplicatedServers):
    # given an address that leads to a standby for a moment
    replicated.service.target = replicated.standbys[0].port
    migrating = asyncio.create_task(migrate(replace(replicated.engine, user="rtx_migrator", password="migrator")))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not replicated.service.connections:  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.01)

    # when it leads to the primary again, then the migrations run there
    replicated.service.target = replicated.primary.port
    await migrating
