"""The verdict's query on a real database: it passes correct rows and finds broken ones."""

import dataclasses
from decimal import Decimal

import msgspec
import pytest
from rtx_demo.database import PLAN, rows_query
from rtx_engine.domain.entries import EntryKind
from rtx_engine.domain.order_response import order_response
from rtx_engine.domain.orders import OrderStatus
from rtx_engine.domain.transfers import Transfer
from rtx_traffic import fenced
from rtx_traffic.ledger import End, Failure, Kind, Lane, Ledger, Order, OrderAnswer, Record, Request, Run, encode
from rtx_traffic.rows import Database
from rtx_traffic.verdict import Verdict, judge

BEHIND_THE_FENCES_BACK = "SET session_replication_role = replica"
RUN = Run("r", "http://e", 1e9, 1, 1, 0, sockets=0, accounts=1, duration=0, opening_balance="10000.00")


def query(*, has_ledger: bool = True) -> str:
    """As asyncpg takes it."""
    return rows_query(has_ledger=has_ledger).replace(":'run'", "$1::text").replace(":'accounts'", "$2::text")


QUERY = query()


async def rows_of_run(database, run: str, *accounts: int) -> Database:
    """As demo's database.rows reads them inside the pod."""
    (row,) = await database.execute(QUERY, run, ",".join(str(account) for account in accounts))
    return Database.parse(row[0].encode())


@dataclasses.dataclass
class Traded:
    """A database, and what the clients of the run `r` were answered."""

    database: object
    account: int
    requests: list[Request] = dataclasses.field(default_factory=list)

    async def place(self, pod, client_order_id: str, **wanted: str) -> None:
        """Place it as `r-...` and write down what a client would have been answered."""
        placed = await pod.place(self.account, client_order_id, **wanted)
        wire = msgspec.json.encode(order_response(placed.execution))
        if not client_order_id.startswith("r-"):
            return
        asked = placed.execution.order
        order = Order(client_order_id, str(self.account), asked.symbol, asked.side, wanted.get("quantity", "0.10"))
        kind, number = Kind.REPEAT if placed.replayed else Kind.ORDER, len(self.requests)
        if placed.execution.status is OrderStatus.REJECTED:
            refused = Request(kind, Lane.NEW, number, number + 0.1, number, 422, Failure.CLIENT_ERROR, number=number)
            self.requests.append(msgspec.structs.replace(refused, order=order))
            return
        reply = msgspec.json.decode(wire, type=OrderAnswer)
        status = 200 if placed.replayed else 201
        request = Request(
            kind, Lane.NEW, number, number + 0.1, number, status, order=order, answer=reply, number=number
        )
        self.requests.append(request)

    async def rows(self) -> Database:
        return await rows_of_run(self.database, "r", self.account)

    async def verdict(self) -> Verdict:
        records: list[Record] = [RUN, *self.requests, End(99, due=len(self.requests))]
        return judge(Ledger.parse(encode(record) for record in records), await self.rows())

    async def execute(self, sql: str) -> None:
        """Behind the fence's back: without its triggers for a moment."""
        session = await self.database.connect("postgres")
        try:
            await session.execute(BEHIND_THE_FENCES_BACK)
            await session.execute(sql)
        finally:
            await session.close()


def price(pod, bid: str, ask: str) -> None:
    pod.prices.bid, pod.prices.ask = Decimal(bid), Decimal(ask)


@pytest.fixture
async def traded(start_pod, database):
    """Orders by blue, a move of the fence, and orders by green; some are repeated, and one is of another run."""
    blue = await start_pod("blue")
    traded = Traded(database, await blue.open_account("trader"))
    await traded.place(blue, "r-1")
    await traded.place(blue, "other-1", quantity="0.03")
    price(blue, "1.10031", "1.10043")
    await traded.place(blue, "r-2", side="sell", quantity="0.05")  # closes a part
    await traded.place(blue, "r-2", side="sell", quantity="0.05")
    await database.move_fence("green")
    green = await start_pod("green")
    price(green, "1.09987", "1.09999")
    await traded.place(green, "r-3", side="sell", quantity="0.20")  # turns the position
    await traded.place(green, "r-4", side="sell", quantity="0.07", symbol="XAUUSD")
    await traded.place(green, "r-5", quantity="0.07", symbol="XAUUSD")  # flat again
    await traded.place(green, "r-1")
    await traded.place(green, "r-3", side="sell", quantity="0.20")
    return traded


async def test_verdict_of_a_run_across_a_fence_move_is_complete(traded):
    # given orders on each side of a move, when the rows of the run are read
    rows = await traded.rows()

    # then they are those of the run, with all that the account ever dealt, and the fence's whole history
    assert sorted((row.client_order_id, row.colour) for row in rows.orders) == [
        ("r-1", "blue"), ("r-2", "blue"), ("r-3", "green"), ("r-4", "green"), ("r-5", "green"),
    ]  # fmt: skip
    assert sorted(row.client_order_id for row in rows.events if row.matches_order) == [
        "r-1",
        "r-2",
        "r-3",
        "r-4",
        "r-5",
    ]
    assert len(rows.fills) == 5
    assert all(fill.committed_us for fill in rows.fills)
    (account,) = rows.accounts
    assert (len(account.fills), account.sequence, account.events, account.newest) == (6, 6, 6, 6)
    assert [fill.quantity for fill in account.fills[:3]] == [Decimal("0.10"), Decimal("0.03"), Decimal("-0.05")]
    assert {row.epoch: row.executors for row in rows.history} == {1: ("blue",), 2: ("green",)}
    assert list(fenced.violations(rows)) == []
    assert fenced.overlap_s(rows) == 0


async def test_rows_keep_every_decimal_of_the_engine(traded):
    # given a run of the real store: positions that grew, shrank, turned and went flat, and repeats by both colours
    verdict = await traded.verdict()

    # then its answers, repeats, fills, positions and balance are what they must be
    assert verdict.findings == ()
    assert verdict.kept
    assert (verdict.orders_acknowledged, verdict.requests) == (5, 8)


async def test_money_that_moves_outside_of_fills_is_counted(traded, start_pod):
    # given accounts that got money and gave some back, of which one is not the run's
    green = await start_pod("green")
    other = await green.open_account("other")
    for account in (traded.account, other):
        for number, (kind, amount) in enumerate([(EntryKind.DEPOSIT, "250.00"), (EntryKind.WITHDRAWAL, "-0.01")]):
            await green.store.journal.enter(Transfer(account, str(number), kind, Decimal(amount), "test", "admin"))

    # when the run is judged, then all is right, and the entries are those of the account
    verdict = await traded.verdict()
    assert verdict.kept, verdict.findings
    (account,) = (await traded.rows()).accounts
    assert [(entry.sequence, entry.kind, entry.amount) for entry in account.entries] == [
        (0, "opening", 1000000), (7, "deposit", 25000), (8, "withdrawal", -1),
    ]  # fmt: skip
    # and a cent that the journal does not know is found, also in the account that the run did not use
    await traded.execute(f"UPDATE accounts SET balance = balance + 0.01 WHERE id = {other}")  # noqa: S608  # a number
    verdict = await traded.verdict()
    assert (verdict.accounts_unbalanced, verdict.accounts_wrong, verdict.kept) == (1, 0, False)
    await traded.execute("DELETE FROM journal WHERE kind = 2")
    verdict = await traded.verdict()
    assert (verdict.accounts_unbalanced, verdict.accounts_wrong) == (2, 1)


async def test_database_without_a_journal_is_judged_by_its_fills(traded, database):
    # given a database of a release that has no journal
    await traded.execute("DROP VIEW ledger; DROP TABLE journal")

    (row,) = await database.execute(query(has_ledger=False), "r", str(traded.account))

    rows = Database.parse(row[0].encode())
    assert (len(rows.orders), rows.unbalanced, rows.accounts[0].entries) == (5, (), ())


async def test_account_without_trades_is_reported(start_pod, database):
    # given an account without any order, when its rows are read, then it is there with nothing in it
    account = await (await start_pod("blue")).open_account("listener")
    (row,) = (await rows_of_run(database, "r", account)).accounts
    assert (row.balance, row.sequence, row.events, row.newest) == (Decimal(10000), 0, 0, 0)
    assert (row.positions, row.fills) == ((), ())


@pytest.mark.parametrize(
    "wrong",
    [
        "UPDATE accounts SET balance = balance + 0.01",
        "UPDATE accounts SET event_sequence = event_sequence + 1",
        "UPDATE positions SET average_price = average_price + 0.0000000001 WHERE symbol = 'EURUSD'",
        "UPDATE positions SET quantity = quantity + 0.01 WHERE symbol = 'XAUUSD'",
        "DELETE FROM positions WHERE symbol = 'EURUSD'",
        "DELETE FROM fills WHERE quantity = 0.03",
        "UPDATE fills SET price = price + 0.01 WHERE quantity = 0.03",
        "DELETE FROM account_events WHERE payload ->> 'client_order_id' = 'other-1'",
        "DELETE FROM accounts",
    ],
)
async def test_account_that_contradicts_its_fills_is_found(traded, wrong):
    # given the real store's rows, when one value of the account is changed, then the account is wrong
    await traded.execute(wrong)
    verdict = await traded.verdict()
    assert verdict.accounts_wrong == 1
    assert (verdict.orders_lost, verdict.orders_altered) == (0, 0)
    assert not verdict.kept


@pytest.mark.parametrize(
    "wrong",
    [
        "DELETE FROM orders WHERE client_order_id = 'r-3'",
        "UPDATE orders SET executed_at = executed_at + interval '1 microsecond' WHERE client_order_id = 'r-3'",
        "UPDATE orders SET realised = realised + 0.01 WHERE client_order_id = 'r-3'",
        'UPDATE account_events SET payload = payload || \'{"price": "9"}\' WHERE sequence = 4',
        "UPDATE account_events SET payload = payload - 'epoch' WHERE sequence = 4",
        "UPDATE fills SET account_id = 99 WHERE quantity = -0.20",
    ],
)
async def test_acknowledged_order_with_other_values_is_found(traded, wrong):
    # given the real store's rows, when one value of an acknowledged order is changed, then it is lost
    await traded.execute(wrong)
    assert (await traded.verdict()).orders_lost == 1


async def test_rejected_order_counts_only_as_failed_request(traded, start_pod):
    # given an order beyond the account's margin, which is answered with 422 and recorded as rejected
    green = await start_pod("green")
    await traded.place(green, "r-6", quantity="90.00")
    await traded.place(green, "r-6", quantity="90.00")

    # when the run is judged, then the order is in the database as it was sent, and the account is right
    verdict = await traded.verdict()
    assert (verdict.failed_requests, verdict.orders_in_database, verdict.orders_acknowledged) == (2, 6, 5)
    assert (verdict.orders_altered, verdict.accounts_wrong, verdict.orders_lost) == (0, 0, 0), verdict.findings


async def test_deleted_order_keeps_the_account_consistent(traded):
    # given an order that is deleted, but not its fill and event, when the run is judged, then the account is right:
    # a later run on the same account is not spoilt by it
    await traded.execute("DELETE FROM orders WHERE client_order_id = 'r-2'")
    verdict = await traded.verdict()
    assert (verdict.orders_lost, verdict.accounts_wrong) == (1, 0)


async def test_fill_with_an_unknown_order_id_is_found(traded):
    # given a repeat that was dealt a second time under its own order id, with position and balance, and of which
    # neither an order nor an event was written
    await traded.execute(
        "INSERT INTO fills SELECT gen_random_uuid(), 1, account_id, symbol, -quantity, price, 0, epoch, executed_at"
        " FROM fills WHERE symbol = 'XAUUSD' AND quantity > 0;"
        "UPDATE positions SET quantity = -0.07, average_price = (SELECT price FROM fills WHERE quantity = 0.07)"
        " WHERE symbol = 'XAUUSD'"
    )

    # when the run is judged, then the account is wrong, although its fills come to what it holds
    verdict = await traded.verdict()
    assert (verdict.accounts_wrong, verdict.orders_doubled) == (1, 0)
    assert "has 1 fills without an event" in verdict.findings[0]


async def test_order_that_was_never_sent_is_found(traded):
    # given an order of the run that the ledger does not know, when it is judged, then it is found
    traded.requests = [request for request in traded.requests if request.order.client_order_id != "r-5"]
    verdict = await traded.verdict()
    assert (verdict.orders_altered, verdict.accounts_wrong) == (1, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        "UPDATE fills SET price = price WHERE epoch = 1 AND realised <> 0",  # a new row: committed after the move
        "UPDATE fills SET epoch = 1 WHERE epoch = 2 AND symbol = 'EURUSD'",  # green's, in blue's epoch
        "UPDATE fills SET epoch = 9 WHERE epoch = 2 AND symbol = 'EURUSD'",
    ],
)
async def test_fill_against_the_fence_is_found(traded, wrong):
    # given a database without the fence for a moment, when something executes out of its turn
    await traded.execute(wrong)

    # then each such fill of the run is told
    found = list(fenced.violations(await traded.rows()))
    assert len(found) == 1, found


TRADED = """
INSERT INTO orders (id, account_id, client_order_id, symbol, side, order_type, quantity, status, price, realised,
    sequence, epoch, colour, executed_at, quoted_at)
SELECT md5(n::text)::uuid, n % 50, 'r-' || n, 'EURUSD', 'buy', 'market', 0.01, 'filled', 1, 0, n / 50 + 1, 1, 'blue',
    now(), now()
FROM generate_series({first}, {last}) AS n;
INSERT INTO fills (order_id, number, account_id, symbol, quantity, price, realised, epoch, executed_at)
SELECT id, 1, account_id, symbol, quantity, price, 0, epoch, executed_at FROM orders
WHERE id NOT IN (SELECT order_id FROM fills);
INSERT INTO account_events (account_id, sequence, kind, payload, at)
SELECT account_id, sequence, 'order', json_build_object('order_id', id, 'client_order_id', client_order_id), now()
FROM orders ON CONFLICT DO NOTHING;
"""


async def test_queries_stay_fast_with_outdated_statistics(database):
    # given 50 accounts of which PostgreSQL last took statistics after their first 100 orders, and which have 5,000 now
    session = await database.connect("postgres")
    await session.execute(BEHIND_THE_FENCES_BACK)
    await session.execute(TRADED.format(first=0, last=99))
    await session.execute("ANALYZE")
    await session.execute(TRADED.format(first=100, last=4999))

    # when the rows of the run are planned, then no row is compared with each of another table
    try:
        await session.execute(PLAN)
        accounts = ",".join(map(str, range(50)))
        plan = "\n".join(line for (line,) in await session.fetch(f"EXPLAIN {QUERY}", "r", accounts))
    finally:
        await session.close()
    assert "Nested Loop" not in plan, plan
