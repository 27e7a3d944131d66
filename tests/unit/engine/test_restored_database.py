"""A database that was restored, or is another engine's, under pods and clients that stay."""

import asyncio
import contextlib
from collections.abc import Sequence
from decimal import Decimal

import asyncpg
import pytest
from engine_pods import Pod
from rtx_engine.domain.entries import EntryKind
from rtx_engine.domain.events import AccountEvent
from rtx_engine.domain.transfers import Transfer
from rtx_engine.store import OrderError, OrderErrorReason
from rtx_engine.store.migrate import Migrator
from rtx_engine.store.migration_plan import MigrationError, MigrationState
from rtx_engine.stream.access import Access
from rtx_engine.stream.catchup import CatchUp
from rtx_engine.stream.connection import Connection
from rtx_engine.stream.handshake import Request
from rtx_engine.stream.hub import Hub
from rtx_engine.stream.limits import PRODUCTION
from test_stream_catchup import Client, claims, event, until_idle

ACCOUNT = 7
NEW_OWNER = "UPDATE rtx_operator.execution_fence SET owner = $1, epoch = epoch + $2"
ORDER_RIGHTS = [
    "UPDATE ON accounts",
    "INSERT ON orders",
    "INSERT ON fills",
    "UPDATE ON positions",
    "INSERT ON account_events",
    "EXECUTE ON FUNCTION rtx_operator.assert_executor()",
]


class StandingMarket:
    def quotes(self) -> dict[str, object]:
        return {}


class Log:
    """The database: the events of one account, which may be taken away."""

    def __init__(self, newest: int) -> None:
        self.events: list[AccountEvent] | None = [event(ACCOUNT, sequence) for sequence in range(1, newest + 1)]
        self.asked, self.answers = asyncio.Event(), asyncio.Event()
        self.answers.set()

    async def sequences(self, _: Sequence[int]) -> dict[int, int]:
        found = {} if self.events is None else {ACCOUNT: len(self.events)}
        self.asked.set()
        await self.answers.wait()
        return found

    async def events_since(self, _: int, sequence: int, limit: int = 200) -> list[AccountEvent]:
        return [one for one in self.events or () if one.sequence > sequence][:limit]


class Streaming:
    """A client that has had its hello from a database with `newest` events, and what catches it up."""

    def __init__(self, newest: int) -> None:
        self.log, self.hub, self.client = Log(newest), Hub(StandingMarket()), Client()  # type: ignore[arg-type]
        self.access = Access(None, self.hub, PRODUCTION)  # type: ignore[arg-type]  # no token is checked here
        self.catch_up = CatchUp(self.log, self.hub, "green")
        self.connection = Connection(Request(None, (), None), "", claims(ACCOUNT), self.access)

    async def connect(self) -> None:
        self.connection.on_ws_connected(self.client)  # type: ignore[arg-type]  # the part that is used
        await self.catch_up.send_hello()

    async def trade(self, sequence: int) -> None:
        assert self.log.events is not None
        self.log.events.append(event(ACCOUNT, sequence))
        self.catch_up.start_replays(self.hub.deliver(self.log.events[-1:]))
        await until_idle()


async def test_client_that_is_ahead_of_a_restored_database_is_closed() -> None:
    # Given a client that has had all 120 events, connected to a pod that goes on running
    streaming = Streaming(120)
    await streaming.connect()

    # When the database comes back from a backup with 100 of them, and is traded on
    assert streaming.log.events is not None
    del streaming.log.events[100:]
    await streaming.catch_up.poll()
    for sequence in range(101, 122):
        await streaming.trade(sequence)

    # Then the client got none of the new events for its old ones, and was told to begin anew
    assert (streaming.client.sequences(), streaming.client.closed) == ([], 1008)


async def test_client_of_an_account_that_a_restore_took_away_is_closed() -> None:
    streaming = Streaming(3)
    await streaming.connect()

    streaming.log.events = None
    await streaming.catch_up.poll()

    assert streaming.client.closed == 1008


async def test_event_that_is_sent_while_the_database_is_asked_closes_nobody() -> None:
    # Given a query that has seen 3 events, and whose answer is on its way
    streaming = Streaming(3)
    await streaming.connect()
    streaming.log.asked.clear()
    streaming.log.answers.clear()
    polling = asyncio.create_task(streaming.catch_up.poll())
    await streaming.log.asked.wait()

    # When the client is sent a fourth before it
    await streaming.trade(4)
    streaming.log.answers.set()
    await polling

    # Then it stays
    assert (streaming.client.sequences(), streaming.client.closed) == ([4], None)


async def test_only_clients_that_have_had_their_hello_begin_anew_after_a_restore() -> None:
    # Given a client with its hello, and one that waits for it
    streaming = Streaming(3)
    await streaming.connect()
    waiting, connection = Client(), Connection(Request(None, (), None), "", claims(ACCOUNT), streaming.access)
    connection.on_ws_connected(waiting)  # type: ignore[arg-type]  # the part that is used

    streaming.catch_up.begin_anew()

    assert (streaming.client.closed, waiting.closed) == (1008, None)


@pytest.mark.parametrize(
    ("change", "is_restore"),
    [
        ("UPDATE rtx_operator.execution_fence SET epoch = epoch + 1", False),
        ("UPDATE rtx_operator.execution_fence SET epoch = epoch - 1", True),
        # As pg_restore does: the same row, written by another transaction.
        ("UPDATE rtx_operator.execution_fence SET since = since", True),
    ],
    ids=["move", "earlier epoch", "same epoch"],
)
async def test_restore_is_told_from_a_move_of_the_fence(database, change, is_restore):
    fence, restores = Pod(database.engine).store.fence, []
    fence.on_restore(lambda: restores.append(True))
    session = await database.connect("rtx_engine")
    try:
        await fence.refresh(session)
        await database.execute(change)
        await fence.refresh(session)
        await fence.refresh(session)
    finally:
        await session.close()

    assert bool(restores) is is_restore


async def test_fence_that_was_away_counts_as_restored(database):
    fence, restores = Pod(database.engine).store.fence, []
    fence.on_restore(lambda: restores.append(True))
    session = await database.connect("rtx_engine")
    try:
        await fence.refresh(session)
        await database.execute("ALTER TABLE rtx_operator.execution_fence RENAME TO away")
        await fence.refresh(session)
        await database.execute("ALTER TABLE rtx_operator.away RENAME TO execution_fence")
        assert not restores
        await fence.refresh(session)
    finally:
        await session.close()

    assert restores == [True]


@pytest.mark.parametrize("moved", [0, 40], ids=["same epoch", "another epoch"])
async def test_pod_does_not_execute_on_the_database_of_another_engine(database, start_pod, moved):
    # Given a pod that executes on the database of its own engine, by whichever uid
    await database.execute(NEW_OWNER, "trading/rtx/uid-1", 0)
    pod = await start_pod("blue", owner="trading/rtx")
    account_id = await pod.open_account("ada")
    await pod.place(account_id, "mine")

    # When its database is another engine's, since the wrong backup was restored; its fence names blue, too
    await database.execute(NEW_OWNER, "trading/rtx-2/uid-9", moved)

    # Then it places no order there, not even before it has read the fence, and is not ready
    with pytest.raises(OrderError) as refusal:
        await pod.place(account_id, "theirs")
    assert refusal.value.reason is OrderErrorReason.FENCED
    assert pod.store.fence.state is None


@pytest.mark.parametrize(
    "write",
    [
        lambda pod, _: pod.open_account("eve"),
        lambda pod, account_id: pod.store.journal.enter(
            Transfer(account_id, "bank-1", EntryKind.DEPOSIT, Decimal("100.00"), "test", "admin")
        ),
    ],
    ids=["account", "deposit"],
)
async def test_pod_opens_no_account_and_moves_no_money_in_the_database_of_another_engine(database, start_pod, write):
    # Given a pod on the database of its own engine
    await database.execute(NEW_OWNER, "trading/rtx/uid-1", 0)
    pod = await start_pod("blue", owner="trading/rtx")
    account_id = await pod.open_account("ada")

    # When its database is another engine's, of which only the owner tells
    await database.execute(NEW_OWNER, "trading/rtx-2/uid-9", 0)

    # Then the connection for reads is refused as those for orders are
    with pytest.raises(OrderError) as refusal:
        await write(pod, account_id)
    assert refusal.value.reason is OrderErrorReason.FENCED
    assert [tuple(row) for row in await database.execute("SELECT account_id, sequence FROM journal")] == [
        (account_id, 0)
    ]


@pytest.mark.parametrize(
    ("sent", "executes"), [("trading/rtx", True), ("trading/rt", False), ("trading/other", False), (None, True)]
)
async def test_database_itself_refuses_the_session_of_another_engine(database, sent, executes):
    # Given a session of a pod; those of earlier releases send no owner
    await database.execute(NEW_OWNER, "trading/rtx/uid-1", 0)
    settings = {"rtx.colour": "blue", "rtx.epoch": "1"} | ({"rtx.owner": sent} if sent else {})
    session = await database.connect("rtx_engine", **settings)
    try:
        with contextlib.nullcontext() if executes else pytest.raises(asyncpg.PostgresError) as refusal:
            await session.execute("UPDATE accounts SET balance = 0 WHERE false")
        assert executes or refusal.value.sqlstate == "RX001"
    finally:
        await session.close()


@pytest.mark.parametrize("command", ["up", "down"])
async def test_migrations_do_not_run_in_the_database_of_another_engine(fenced_database, command):
    await fenced_database.execute(NEW_OWNER, "trading/other/uid-9", 0)

    async with Migrator.connected(fenced_database.as_role("rtx_migrator"), owner="trading/rtx") as migrator:
        with pytest.raises(MigrationError, match="belongs to the TradingEngine trading/other/uid-9"):
            await getattr(migrator, command)()
        assert {one.state for one in await migrator.status()} == {MigrationState.PENDING}


@pytest.mark.parametrize("lost", ["ALL ON ALL TABLES IN SCHEMA rtx_operator, public", *ORDER_RIGHTS])
async def test_pod_is_not_ready_on_a_restore_without_rights(database, lost):
    # Given a pod that executes
    fence = Pod(database.engine).store.fence
    session = await database.connect("rtx_engine")
    try:
        before = await fence.refresh(session)
        assert fence.executing

        # When a backup is restored without a right that orders need (pg_restore --no-acl: without any)
        await database.execute(f"REVOKE {lost} FROM rtx_engine")
        assert await fence.refresh(session) is None

        # Then the pod says neither that it executes nor that it is ready, until it has the right again
        assert not fence.executing
        await database.execute(f"GRANT {lost} TO rtx_engine")
        assert await fence.refresh(session) == before
        assert fence.executing
    finally:
        await session.close()
