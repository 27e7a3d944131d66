"""A server that can no longer be written: the pod leaves it, does not storm it, and finds the one that took over."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest
from engine_postgres import TestDatabase
from rtx_engine.store import OrderError, OrderErrorReason, UnavailableError
from rtx_engine.store.writer import Limits

TIMEOUT_SECONDS = 20.0
# In the seconds that an order is tried, a connection is opened some ten times: 0.1 s later at first, then after twice
# as long each time, half a second at most. Without pauses it would be some fifty times a second.
MAX_ATTEMPTS = 20


@contextlib.asynccontextmanager
async def read_only(database: TestDatabase, *, live: bool) -> AsyncIterator[None]:
    """What a former primary is, or a standby. `live`: also for the sessions that are open; else these are lost."""
    connection = await database.connect("postgres", default_transaction_read_only="off")
    scope = "SYSTEM" if live else f"DATABASE {database.name}"
    try:
        await connection.execute(f"ALTER {scope} SET default_transaction_read_only = on")
        if live:
            await _reload(connection, database, "on")
        else:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND usename = 'rtx_engine'"
            )
        yield
    finally:
        await connection.execute(f"ALTER {scope} RESET default_transaction_read_only")
        if live:
            await _reload(connection, database, "off")
        await connection.close()


async def _reload(connection: asyncpg.Connection, database: TestDatabase, expected: str) -> None:
    """Return when new sessions have the setting."""
    await connection.execute("SELECT pg_reload_conf()")
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while await database.execute("SHOW default_transaction_read_only") != [(expected,)]:  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.01)


async def test_read_only_server_is_asked_ever_more_seldom(start_pod, database, cable):
    limits = Limits(order_timeout_seconds=3.0)
    pod = await start_pod(address=replace(database.engine, port=cable.port), limits=limits)
    account_id = await pod.open_account("ada")
    await pod.place(account_id, "before")
    opened = cable.connections

    async with read_only(database, live=False):
        with pytest.raises(OrderError):
            await pod.place(account_id, "one")
        attempts = cable.connections - opened

    assert attempts < 2 * MAX_ATTEMPTS  # of three connections
    assert not (await pod.place(account_id, "one")).replayed


async def test_server_that_loses_each_connection_is_asked_ever_more_seldom(start_pod, database, cable):
    # given a server that accepts connections, and loses each when it is to write
    pod = await start_pod(address=replace(database.engine, port=cable.port), limits=Limits(order_timeout_seconds=3.0))
    account_id = await pod.open_account("ada")
    await pod.place(account_id, "before")
    await database.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN RAISE EXCEPTION USING ERRCODE = ''57P01'', MESSAGE = ''terminating connection''; END'"
    )
    await database.execute("CREATE TRIGGER fail BEFORE INSERT ON orders FOR EACH STATEMENT EXECUTE FUNCTION fail()")
    opened = cable.connections

    with pytest.raises(OrderError):
        await pod.place(account_id, "one")

    assert cable.connections - opened < MAX_ATTEMPTS


async def test_nothing_is_read_from_a_server_that_became_read_only(wired_pod, database, cable):
    # given a pod whose connections outlive the change
    account_id = await wired_pod.open_account("ada")
    await wired_pod.place(account_id, "one")
    opened = cable.connections

    async with read_only(database, live=True):
        with pytest.raises(UnavailableError):
            await wired_pod.store.reader.positions(account_id)
        with pytest.raises(UnavailableError):
            await wired_pod.store.read_fence()

    assert wired_pod.store.fence.state.epoch == 1
    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert not (await wired_pod.place(account_id, "two")).replayed
    assert len(await wired_pod.store.reader.orders(account_id, 10)) == 2
    assert cable.connections > opened


async def test_order_that_a_read_only_server_refused_is_known_not_to_be_placed(start_pod, database):
    pod = await start_pod(limits=Limits(order_timeout_seconds=1.0))
    account_id = await pod.open_account("ada")
    await pod.place(account_id, "one")

    async with read_only(database, live=True):
        with pytest.raises(OrderError) as refusal:
            await pod.place(account_id, "two")

    assert refusal.value.reason is OrderErrorReason.UNAVAILABLE


async def test_takeover_is_found_at_the_same_address(wired_pod, database, cable):
    # given a server that became read-only, whose address then leads to another one that can be written
    account_id = await wired_pod.open_account("ada")
    async with read_only(database, live=False):
        with pytest.raises(UnavailableError):
            await wired_pod.store.reader.positions(account_id)
        placing = asyncio.create_task(wired_pod.place(account_id, "one"))
        await asyncio.wait([placing], timeout=0.5)
        assert not placing.done()

    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert not (await placing).replayed
    assert len(await wired_pod.store.reader.positions(account_id)) == 1
