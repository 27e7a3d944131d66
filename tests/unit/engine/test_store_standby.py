"""While the standby that a quorum asks for is missing: what a pod leaves behind at the server, and who waits."""

import asyncio

import pytest
from engine_pods import Pod
from engine_postgres import TestDatabase, missing_standby
from rtx_engine.store import OrderError, OrderErrorReason, session

TIMEOUT_SECONDS = 20.0
SESSIONS = 3  # of a pod: one reads, one places orders, one watches the fence


@pytest.fixture
def short_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several attempts at a commit within the time of one order."""
    monkeypatch.setattr(session, "STATEMENT_TIMEOUT_SECONDS", 0.5)


async def until_sessions_are_at_most(database: TestDatabase, count: int) -> None:
    query = "SELECT FROM pg_stat_activity WHERE usename = 'rtx_engine' AND datname = $1"
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while len(await database.execute(query, database.name)) > count:  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("short_statements")
async def test_attempts_that_waited_for_a_standby_leave_no_session_behind(start_pod, database):
    pod: Pod = await start_pod()
    account_id = await pod.open_account("ada")
    async with missing_standby(database):
        with pytest.raises(OrderError) as refusal:
            await pod.place(account_id, "one")
        assert refusal.value.reason is OrderErrorReason.OUTCOME_UNKNOWN

        await until_sessions_are_at_most(database, SESSIONS)


async def test_pod_that_stops_leaves_no_session_behind(start_pod, database):
    pod: Pod = await start_pod()
    account_id = await pod.open_account("ada")
    async with missing_standby(database):
        placing = asyncio.create_task(pod.place(account_id, "one"))
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not await database.execute("SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'"):
                await asyncio.sleep(0.01)

        await pod.store.stop()

        with pytest.raises(OrderError):
            await placing
        await until_sessions_are_at_most(database, 0)
