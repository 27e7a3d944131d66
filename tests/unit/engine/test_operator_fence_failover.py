"""The operator's fence on replicated servers: a move counts when a standby has it, and no standby is believed."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from engine_replication import DATABASE, ReplicatedServers
from fence_mover import OWNER, Mover
from rtx_operator.cluster import postgres as fence
from rtx_operator.cluster.postgres import confirmation, session

TIMEOUT_SECONDS = 30.0
CUTOVER = "1.1.0-0a1b2c3d"


@pytest_asyncio.fixture
async def mover(replicated: ReplicatedServers, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Mover]:
    """Of replicated servers, behind their service; a wait for a standby is given up soon."""
    monkeypatch.setattr(session, "STATEMENT_DEADLINE_SECONDS", 1.0)
    monkeypatch.setattr(confirmation, "CONFIRM_DEADLINE_SECONDS", 0.5)
    await replicated.database.execute("UPDATE rtx_operator.execution_fence SET owner = $1", str(OWNER))
    mover = Mover(replicated.database)
    mover.address = fence.Address("127.0.0.1", replicated.service.port, DATABASE)
    yield mover
    mover.reader.forget(mover.address)


async def read_in_time(mover: Mover) -> object:
    """The fence, once it can be read."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            try:
                return await mover.read()
            except fence.FenceUnreachableError:
                await asyncio.sleep(0.05)


async def read_for_ever(mover: Mover) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            await mover.read()


async def test_move_that_no_standby_has_is_unknown_until_one_has_it(replicated: ReplicatedServers, mover: Mover):
    # given a fence that was read, and standbys that are frozen
    await mover.read()
    for standby in replicated.standbys:
        standby.freeze()

    # when it is moved
    with pytest.raises(fence.FenceUnreachableError):
        await mover.move("green")

    # then neither a read nor another try of the move says that it has happened
    with pytest.raises(fence.FenceUnreachableError, match="no standby has confirmed"):
        await mover.read()
    with pytest.raises(fence.FenceUnreachableError):
        await mover.move("green")

    # and with a standby it has happened once
    for standby in replicated.standbys:
        standby.thaw()
    found = await read_in_time(mover)
    assert (found.epoch, found.executors) == (2, ("green",))
    assert await mover.move("green") == found


async def test_standbys_are_counted_only_where_commits_wait_for_them(replicated: ReplicatedServers, mover: Mover):
    async def standbys() -> int | None:
        return (await mover.reader.read(mover.address, "operator")).standbys

    # given servers of which every commit waits for one of two
    await replicated.until_confirmed()
    assert await standbys() == len(replicated.standbys)

    # when no commit waits any more, though both still follow
    await replicated.primary.configure("synchronous_standby_names", "")

    # then it is not said that none confirms
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            if await standbys() is None:
                return
            await asyncio.sleep(0.05)


async def test_move_given_up_leaves_no_session_that_holds_the_fence(replicated: ReplicatedServers, mover: Mover):
    for standby in replicated.standbys:
        standby.freeze()

    with pytest.raises(fence.FenceUnreachableError):
        await mover.move("green")

    waiting = "SELECT FROM pg_stat_activity WHERE usename = 'rtx_operator' AND wait_event = 'SyncRep'"
    assert await replicated.primary.execute(waiting) == []


async def test_move_that_a_failover_lost_is_made_again_at_a_higher_epoch(replicated: ReplicatedServers, mover: Mover):
    # given a move that no standby has, when one takes over
    for standby in replicated.standbys:
        standby.kill()  # a frozen one would find it in its socket
    with pytest.raises(fence.FenceUnreachableError):
        await mover.move("green")
    replicated.primary.kill()
    for standby in replicated.standbys:
        standby.start(replicated.primary)
    await replicated.fail_over()

    # then the fence is as it was, and moves above what the engine's status remembers
    found = await read_in_time(mover)
    assert (found.epoch, found.executors) == (1, ("blue",))
    assert (await mover.move("green", known=2)).epoch == 3


async def test_move_in_a_failover_is_found_or_made_on_the_new_primary(replicated: ReplicatedServers, mover: Mover):
    # given a fence that moves when the primary dies
    moving = asyncio.create_task(mover.move("green", cutover=CUTOVER))
    replicated.primary.kill()
    await asyncio.wait([moving])
    moved = moving.exception() is None
    await replicated.fail_over()

    # when it is asked for again
    found = await read_in_time(mover)
    again = await mover.move("green", cutover=CUTOVER, expected=found.epoch)

    # then it has moved once, and what was reported is there
    assert again.epoch == 2
    assert not moved or again == moving.result()


async def test_standby_is_not_believed(replicated: ReplicatedServers, mover: Mover):
    # given an address that leads to a standby
    replicated.service.target = replicated.standbys[0].port

    with pytest.raises(
        fence.FenceUnreachableError, match="the server is read-only: a standby, or no longer the primary"
    ):
        await mover.read()


async def test_session_of_a_server_that_became_read_only_is_dropped(replicated: ReplicatedServers, mover: Mover):
    # given a session that outlives the change
    await mover.read()
    await replicated.primary.configure("default_transaction_read_only", "on")

    with pytest.raises(fence.FenceUnreachableError, match="read-only"):
        await read_for_ever(mover)

    await replicated.fail_over()
    assert await read_in_time(mover) is not None
