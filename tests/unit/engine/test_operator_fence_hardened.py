"""A server that hides its sessions, or lets nobody end them, costs a move of the fence no more than that."""

import asyncio

import pytest
from fence_mover import Mover
from rtx_operator.cluster import postgres as fence
from rtx_operator.cluster.postgres.session import LOCK_TIMEOUT_MS


@pytest.mark.parametrize(
    "hardening",
    ["REVOKE SELECT ON pg_stat_activity FROM PUBLIC", "REVOKE SELECT ON pg_locks FROM PUBLIC"],
)
async def test_server_that_shows_no_sessions_does_not_fail_a_move(mover: Mover, hardening: str) -> None:
    # given an order under way for the move's first try
    await mover.database.execute(hardening)
    async with mover.frozen("blue") as order:
        moving = asyncio.create_task(mover.move("green"))
        await asyncio.sleep(1.5 * LOCK_TIMEOUT_MS / 1000)
        assert not moving.done()
        await order.execute("ROLLBACK")
        # then the next one succeeds
        assert (await moving).executors == ("green",)


async def test_server_that_shows_no_sessions_is_named_in_the_error(mover: Mover) -> None:
    await mover.database.execute("REVOKE SELECT ON pg_stat_activity FROM PUBLIC")

    async with mover.frozen("blue"):
        with pytest.raises(fence.FenceUnreachableError, match="may not see: grant it SELECT on pg_stat_activity"):
            await mover.move("green")


async def test_holder_of_whom_the_operator_sees_only_the_name_is_named_and_not_terminated(mover: Mover) -> None:
    # given a server whose operator was not granted pg_read_all_stats
    await mover.database.execute("REVOKE pg_read_all_stats FROM rtx_operator")
    try:
        async with mover.frozen("blue") as session:
            with pytest.raises(fence.FenceUnreachableError, match=r"held by blue \(pid \d+\), sessions that .* grant"):
                await mover.move("green")
            await session.execute("SELECT")
    finally:  # a role is the whole server's
        await mover.database.execute("GRANT pg_read_all_stats TO rtx_operator")


async def test_server_that_lets_nobody_end_sessions_does_not_fail_a_move(mover: Mover) -> None:
    await mover.database.execute("REVOKE EXECUTE ON FUNCTION pg_terminate_backend FROM PUBLIC")
    async with mover.frozen("blue"):
        with pytest.raises(fence.FenceUnreachableError, match=r"held by blue \(pid \d+\)"):
            await mover.move("green")

    assert (await mover.move("green")).executors == ("green",)
