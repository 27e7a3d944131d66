"""What is said of an order is true: no "there is none" while it is placed, and nothing that a failover could undo."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from engine_pods import Pod
from engine_postgres import TestDatabase, missing_standby
from rtx_engine.domain.orders import Execution
from rtx_engine.store import OrderError, OrderErrorReason, UnavailableError, lookup, session, standby
from rtx_engine.store.writer import Limits

TIMEOUT_SECONDS = 20.0


@contextlib.asynccontextmanager
async def slow_commits(database: TestDatabase) -> AsyncIterator[None]:
    """Every COMMIT of an order waits until this is left, whatever the session's lock timeout is."""
    await database.execute(
        "CREATE FUNCTION wait_for_test() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS"
        " 'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END'"
    )
    await database.execute(
        "CREATE CONSTRAINT TRIGGER wait_for_test AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION wait_for_test()"
    )
    holder = await database.connect("postgres")
    try:
        await holder.execute("SELECT pg_advisory_lock(1)")
        yield
    finally:
        await holder.close()


async def wait_until_committing(database: TestDatabase) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not await database.execute(  # noqa: ASYNC110  # nothing tells that a session waits
            "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"
        ):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("asked", ["the same pod", "another pod"])
async def test_look_up_of_an_order_that_is_being_committed_waits_for_it(start_pod, database, asked):
    pods = [await start_pod(), await start_pod()]
    account_id = await pods[0].open_account("ada")

    async with slow_commits(database):
        placing = asyncio.create_task(pods[0].place(account_id, "one"))
        await wait_until_committing(database)
        asking = asyncio.create_task(pods[asked == "another pod"].store.lookup.find(account_id, "one"))
        await asyncio.wait([asking], timeout=0.2)
        assert not asking.done()

    assert await asking == (await placing).execution


async def test_look_up_of_a_queued_order_waits_for_it(pod, database):
    account_id = await pod.open_account("ada")
    holder = await database.connect("postgres")

    # given an order whose account somebody holds, which no transaction writes yet
    async with holder.transaction():
        await holder.execute("SELECT FROM accounts FOR UPDATE")
        placing = asyncio.create_task(pod.place(account_id, "one"))
        await asyncio.sleep(0)
        asking = asyncio.create_task(pod.store.lookup.find(account_id, "one"))
        await asyncio.wait([asking], timeout=0.2)
        assert not asking.done()
    await holder.close()

    assert await asking == (await placing).execution


async def test_look_up_beside_a_commit_that_never_ends_is_unavailable(start_pod, database, monkeypatch):
    # given a COMMIT that neither the server nor the pod gives up before the look-up's time is over
    monkeypatch.setattr(session, "STATEMENT_TIMEOUT_SECONDS", 60.0)
    monkeypatch.setattr(lookup, "TIMEOUT_SECONDS", 1.0)
    await database.execute(f"ALTER ROLE rtx_engine IN DATABASE {database.name} SET statement_timeout = '60s'")
    pods = [await start_pod(), await start_pod()]
    account_id = await pods[0].open_account("ada")

    async with slow_commits(database):
        placing = asyncio.create_task(pods[0].place(account_id, "one"))
        await wait_until_committing(database)
        with pytest.raises(UnavailableError):
            await pods[1].store.lookup.find(account_id, "one")

    with contextlib.suppress(OrderError):
        await placing


async def test_look_up_of_what_nobody_ordered_finds_nothing(pod):
    account_id = await pod.open_account("ada")
    await pod.place(account_id, "one")

    assert isinstance(await pod.store.lookup.find(account_id, "two"), lookup.NotPlaced)
    assert isinstance(await pod.store.lookup.find(account_id + 1, "one"), lookup.NotPlaced)


async def cancel_waits(database: TestDatabase) -> None:
    await database.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
    await asyncio.sleep(0.05)


async def place_unconfirmed(pod: Pod, database: TestDatabase, account_id: int) -> None:
    """Place an order of which everybody can see the row, and no standby has it."""
    placing = asyncio.create_task(pod.place(account_id, "one"))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not await database.execute("SELECT FROM orders"):
            await cancel_waits(database)
    with pytest.raises(OrderError) as refusal:
        await placing
    assert refusal.value.reason is OrderErrorReason.OUTCOME_UNKNOWN


async def test_nothing_is_told_from_a_row_that_no_standby_has_confirmed(start_pod, database, monkeypatch):
    monkeypatch.setattr(standby, "MISSING_SECONDS", 0.0)  # each question waits for itself
    pod = await start_pod(limits=Limits(order_timeout_seconds=1.0))
    account_id = await pod.open_account("ada")
    reader = pod.store.reader
    questions = (
        lambda: pod.store.lookup.find(account_id, "one"),
        lambda: reader.orders(account_id, 10),
        lambda: reader.positions(account_id),
        lambda: reader.account(account_id),
        lambda: reader.events_since(account_id, 0),
        lambda: reader.sequences([account_id]),
    )

    async with missing_standby(database):
        await place_unconfirmed(pod, database, account_id)
        for ask in questions:
            with pytest.raises(UnavailableError):
                await ask()

    placed = await pod.store.lookup.find(account_id, "one")
    assert isinstance(placed, Execution)
    assert placed.sequence == 1


async def test_repeat_at_a_colour_that_no_longer_executes_is_not_told_unconfirmed(start_pod, database):
    blue = await start_pod(limits=Limits(order_timeout_seconds=1.0))
    account_id = await blue.open_account("ada")

    async with missing_standby(database):
        await place_unconfirmed(blue, database, account_id)
        moving = asyncio.create_task(database.move_fence("green"))
        while not moving.done():
            await cancel_waits(database)
        with pytest.raises(OrderError) as refusal:
            await blue.place(account_id, "one")

    assert refusal.value.reason is OrderErrorReason.UNAVAILABLE
    assert (await blue.place(account_id, "one")).replayed


async def test_client_who_asks_for_an_order_that_is_being_committed_waits_for_it(engines, anybody, database):
    engine = await engines.start()
    ada = await anybody.open(engine, "ada")

    async with slow_commits(database):
        placing = asyncio.create_task(ada.order(engine, "one"))
        await wait_until_committing(database)
        asking = asyncio.create_task(ada.call(engine, "GET", "/api/orders/one"))
        await asyncio.wait([asking], timeout=0.2)
        assert not asking.done()

    assert (await placing).status == 201
    assert ((await asking).status, (await asking).body) == (200, (await placing).body)
