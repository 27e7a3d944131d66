"""Money moves only with its account's number, and what moves it outside of a fill is one row of the journal."""

import asyncio
import datetime as dt
from decimal import Decimal
from itertools import count

import asyncpg
import pytest
from engine_ledger import unbalanced
from rtx_engine.domain.entries import EntryKind
from rtx_engine.domain.execution import Portfolio
from rtx_engine.domain.orders import OrderStatus, RejectReason
from rtx_engine.domain.transfers import Transfer, TransferRefusal, TransferRefusedError, enter
from rtx_engine.store import OrderError, OrderErrorReason
from rtx_engine.store.journal import MAX_TRANSFERS, MAX_TRANSFERS_OF_ACCOUNT
from rtx_engine.store.writer import Limits

PATIENT = Limits(order_timeout_seconds=60.0, transfer_timeout_seconds=60.0)  # on a machine that is busy otherwise
NOW = dt.datetime(2026, 11, 27, tzinfo=dt.UTC)
EXECUTOR = {"rtx.colour": "blue", "rtx.epoch": "1"}


def transfer(account_id: int, transfer_id: str, amount: str, reason: str = "test") -> Transfer:
    """A deposit, or a withdrawal if `amount` is negative."""
    kind = EntryKind.DEPOSIT if Decimal(amount) > 0 else EntryKind.WITHDRAWAL
    return Transfer(account_id, transfer_id, kind, Decimal(amount), reason, "admin")


async def test_account_begins_with_an_opening(pod, database):
    account_id = await pod.open_account("ada", balance="250.50")

    [row] = await database.execute("SELECT account_id, sequence, kind, amount, balance, author, epoch FROM journal")
    assert tuple(row) == (account_id, 0, EntryKind.OPENING, 25050, 25050, "admin", 1)
    assert await pod.store.reader.events_since(account_id, 0) == []
    assert await unbalanced(database) == []


async def test_entries_and_fills_share_the_numbers_of_their_account(pod, database):
    # given an account that trades, gets money, trades again with it, and gives some back
    account_id = await pod.open_account("ada", balance="1200.00")
    await pod.place(account_id, "one", quantity="1.00")
    poor = await pod.place(account_id, "two", quantity="1.00")
    entered = await pod.store.journal.enter(transfer(account_id, "bank-1", "5000.00", "Überweisung"))
    rich = await pod.place(account_id, "three", quantity="1.00")
    pod.prices.bid, pod.prices.ask = Decimal("1.10200"), Decimal("1.10210")
    await pod.place(account_id, "four", side="sell", quantity="2.00")
    taken = await pod.store.journal.enter(transfer(account_id, "bank-2", "-6579.99"))

    # then the pod knew at once of the money that it had not entered by an order
    assert poor.execution.reason is RejectReason.INSUFFICIENT_MARGIN
    assert rich.execution.status is OrderStatus.FILLED
    assert (entered.entry.sequence, entered.entry.balance, entered.replayed) == (3, Decimal("6200.00"), False)
    assert (taken.entry.sequence, taken.entry.balance) == (6, Decimal("0.01"))
    # and the rows add up
    [row] = await database.execute("SELECT balance, event_sequence FROM accounts")
    assert tuple(row) == (Decimal("0.01"), 6)
    ledger = await database.execute("SELECT sequence, kind, amount, reason, author FROM ledger ORDER BY 1")
    assert [tuple(row) for row in ledger] == [
        (0, "opening", 120000, "account opened", "admin"),
        (1, "fill", 0, None, None),
        (3, "deposit", 500000, "Überweisung", "admin"),
        (4, "fill", 0, None, None),
        (5, "fill", 38000, None, None),
        (6, "withdrawal", -657999, "test", "admin"),
    ]
    assert await unbalanced(database) == []


async def test_repeated_transfer_is_entered_once(start_pod, database):
    # given pods that are asked for the same deposit twenty times at once
    pods = [await start_pod(limits=PATIENT), await start_pod(limits=PATIENT)]
    account_id = await pods[0].open_account("ada")
    asked = transfer(account_id, "bank-1", "5000.00")

    entered = await asyncio.gather(*(pods[number % 2].store.journal.enter(asked) for number in range(20)))

    assert {one.entry for one in entered} == {entered[0].entry}
    assert [one.replayed for one in entered].count(False) == 1
    assert await database.execute("SELECT balance FROM accounts") == [(Decimal("15000.00"),)]
    assert await unbalanced(database) == []


@pytest.mark.parametrize("other", [("5000.01", "test"), ("-5000.00", "test"), ("5000.00", "another reason")])
async def test_the_same_id_for_another_transfer_is_a_conflict(pod, other):
    account_id = await pod.open_account("ada")
    await pod.store.journal.enter(transfer(account_id, "bank-1", "5000.00"))

    with pytest.raises(OrderError) as refusal:
        await pod.store.journal.enter(transfer(account_id, "bank-1", *other))

    assert refusal.value.reason is OrderErrorReason.CONFLICT


async def test_ids_of_transfers_are_not_those_of_orders_and_other_accounts(pod, database):
    account_id, other_id = await pod.open_account("ada"), await pod.open_account("grace")
    placed = await pod.place(account_id, "one")

    mine = await pod.store.journal.enter(transfer(account_id, "one", "1.00"))
    theirs = await pod.store.journal.enter(transfer(other_id, "one", "2.00"))

    assert [placed.replayed, mine.replayed, theirs.replayed] == [False] * 3
    assert await unbalanced(database) == []


@pytest.mark.parametrize(
    ("balance", "amount", "refusal"),
    [
        ("100.00", "-100.01", TransferRefusal.INSUFFICIENT_FUNDS),
        ("999999999999.00", "1.00", TransferRefusal.BALANCE_TOO_LARGE),
    ],
)
async def test_refused_transfer_leaves_no_trace(pod, database, balance, amount, refusal):
    account_id = await pod.open_account("ada", balance=balance)

    with pytest.raises(TransferRefusedError) as refused:
        await pod.store.journal.enter(transfer(account_id, "bank-1", amount))

    assert refused.value.refusal is refusal
    assert await database.execute("SELECT event_sequence FROM accounts") == [(0,)]
    # and its id is free
    assert not (await pod.store.journal.enter(transfer(account_id, "bank-1", "0.50"))).replayed


async def test_money_that_a_position_needs_cannot_be_withdrawn(pod):
    # given 1 lot that needs 1,100.00, and that has lost 10.00 already
    account_id = await pod.open_account("ada", balance="2000.00")
    await pod.place(account_id, "one", quantity="1.00")
    with pytest.raises(TransferRefusedError):
        await pod.store.journal.enter(transfer(account_id, "much", "-890.01"))

    # when nobody knows what the position is worth, then nothing can be withdrawn at all
    quotes, pod.prices.quotes = pod.prices.quotes, dict
    with pytest.raises(TransferRefusedError):
        await pod.store.journal.enter(transfer(account_id, "little", "-0.01"))
    pod.prices.quotes = quotes
    assert (await pod.store.journal.enter(transfer(account_id, "right", "-890.00"))).entry.balance == Decimal(1110)


async def test_nothing_is_withdrawn_at_a_price_that_no_order_gets(pod):
    # given an open position, and a feed that has stood still for an hour
    account_id = await pod.open_account("ada", balance="10000.00")
    await pod.place(account_id, "one", quantity="1.00")
    pod.prices.age = dt.timedelta(hours=1)
    assert (await pod.place(account_id, "two", quantity="0.01")).execution.reason is RejectReason.STALE_QUOTE

    # then what the position needs is not known either
    with pytest.raises(TransferRefusedError) as refused:
        await pod.store.journal.enter(transfer(account_id, "bank-1", "-8000.00"))
    assert refused.value.refusal is TransferRefusal.STALE_QUOTE
    # but money is taken, and what no position needs is paid out
    await pod.store.journal.enter(transfer(account_id, "bank-2", "5.00"))
    flat = await pod.open_account("grace")
    assert (await pod.store.journal.enter(transfer(flat, "bank-1", "-10000.00"))).entry.balance == 0


def test_account_that_has_grown_large_can_be_withdrawn_from():
    rich = Portfolio(1, Decimal("1000000000001.00"), 100, 7)

    assert enter(rich, transfer(1, "bank-1", "-0.50"), {}, NOW).balance == Decimal("1000000000000.50")
    with pytest.raises(TransferRefusedError):
        enter(rich, transfer(1, "bank-1", "0.50"), {}, NOW)


async def test_open_profit_is_margin_for_what_is_withdrawn(pod):
    # given 1 lot that needs 1,200.00 and has gained 10,000.00
    account_id = await pod.open_account("ada", balance="2000.00")
    await pod.place(account_id, "one", quantity="1.00")
    pod.prices.bid = Decimal("1.20010")

    # then the whole balance can be withdrawn
    assert (await pod.store.journal.enter(transfer(account_id, "bank-1", "-2000.00"))).entry.balance == 0


async def test_profit_of_an_open_position_cannot_be_withdrawn(pod):
    account_id = await pod.open_account("ada", balance="2000.00")
    await pod.place(account_id, "one", quantity="1.00")
    pod.prices.bid = Decimal("1.20000")

    with pytest.raises(TransferRefusedError):
        await pod.store.journal.enter(transfer(account_id, "bank-1", "-2000.01"))


async def test_transfer_of_an_unknown_account_fails(pod):
    with pytest.raises(OrderError) as refusal:
        await pod.store.journal.enter(transfer(99, "bank-1", "1.00"))
    assert refusal.value.reason is OrderErrorReason.UNKNOWN_ACCOUNT


async def test_transfer_waits_for_an_account_without_holding_the_fence(start_pod, database):
    # given somebody who holds the account
    pod = await start_pod(limits=PATIENT)
    account_id = await pod.open_account("ada")
    holder = await database.connect("postgres", **EXECUTOR)
    held = holder.transaction()
    await held.start()
    await holder.execute("SELECT FROM accounts FOR UPDATE")

    # when money is deposited, then the fence can be moved meanwhile, and the old colour does not enter it
    entering = asyncio.create_task(pod.store.journal.enter(transfer(account_id, "bank-1", "1.00")))
    await asyncio.sleep(0)
    await database.move_fence("green")
    await held.rollback()
    await holder.close()
    with pytest.raises(OrderError) as refusal:
        await entering
    assert refusal.value.reason is OrderErrorReason.FENCED
    assert await database.execute("SELECT event_sequence FROM accounts") == [(0,)]


async def test_transfer_into_a_held_account_is_entered_when_it_is_free(start_pod, database):
    pod = await start_pod(limits=PATIENT)
    account_id = await pod.open_account("ada")
    holder = await database.connect("postgres", **EXECUTOR)
    async with holder.transaction():
        await holder.execute("SELECT FROM accounts FOR UPDATE")
        entering = asyncio.create_task(pod.store.journal.enter(transfer(account_id, "bank-1", "1.00")))
        await asyncio.sleep(0.1)
        assert not entering.done()
    await holder.close()
    assert (await entering).entry.sequence == 1


async def test_transfers_into_a_held_account_leave_places_to_others(start_pod, database):
    # given an account that somebody holds, and more deposits into it than it has places
    pod = await start_pod(limits=PATIENT)
    account_id, other_id = await pod.open_account("ada"), await pod.open_account("grace")
    holder = await database.connect("postgres", **EXECUTOR)
    await holder.execute("BEGIN")
    await holder.execute("SELECT FROM accounts WHERE id = $1 FOR UPDATE", account_id)
    deposits = [transfer(account_id, f"bank-{number}", "1.00") for number in range(MAX_TRANSFERS)]
    entering = [asyncio.create_task(pod.store.journal.enter(deposit)) for deposit in deposits]
    await asyncio.sleep(0)

    # then another account gets its deposit meanwhile, and those that were let in are entered when it is free
    assert (await pod.store.journal.enter(transfer(other_id, "bank-1", "1.00"))).entry.sequence == 1
    await holder.close()
    outcomes = await asyncio.gather(*entering, return_exceptions=True)
    refused = [one.reason for one in outcomes if isinstance(one, OrderError)]
    assert refused == [OrderErrorReason.TOO_MANY_REQUESTS] * (MAX_TRANSFERS - MAX_TRANSFERS_OF_ACCOUNT)


async def test_several_deposits_into_one_account_are_entered_beside_those_into_others(wired_pod, cable):
    # given a database whose answers take 3 ms, and accounts that get one deposit after the other
    accounts = [await wired_pod.open_account(f"user {number}") for number in range(16)]
    one = await wired_pod.open_account("house")
    cable.delay_seconds = 0.003
    numbers = count()

    async def over_and_over(account_id: int) -> None:
        while True:
            await wired_pod.store.journal.enter(transfer(account_id, f"id-{next(numbers)}", "1.00"))

    flood = [asyncio.create_task(over_and_over(account_id)) for account_id in accounts]
    await asyncio.sleep(0)
    # when as many as an account may have go into another one, then each is entered in time
    deposits = [transfer(one, f"bank-{number}", "1.00") for number in range(MAX_TRANSFERS_OF_ACCOUNT)]
    try:
        await asyncio.gather(*(wired_pod.store.journal.enter(deposit) for deposit in deposits))
    finally:
        for paying in flood:
            paying.cancel()
        await asyncio.wait(flood)


async def test_transfers_and_orders_of_one_account_lose_nothing(start_pod, database):
    # given two pods that trade on one account and move its money, all at once
    pods = [await start_pod(limits=PATIENT), await start_pod(limits=PATIENT)]
    account_id = await pods[0].open_account("ada", balance="1000000.00")
    orders = [pods[number % 2].place(account_id, f"order {number}") for number in range(40)]
    money = [
        pods[number % 2].store.journal.enter(transfer(account_id, f"bank-{number}", "10.00" if number % 2 else "-5.00"))
        for number in range(20)
    ]
    await asyncio.gather(*orders, *money)

    [row] = await database.execute("SELECT balance, event_sequence FROM accounts")
    assert tuple(row) == (Decimal("1000050.00"), 60)
    assert await unbalanced(database) == []
    assert [event.sequence for event in await pods[0].store.reader.events_since(account_id, 0)] == list(range(1, 61))


async def test_entries_cannot_be_changed(pod, database):
    await pod.open_account("ada")
    session = await database.connect("rtx_engine", **EXECUTOR)
    for statement in ("UPDATE journal SET amount = 0", "DELETE FROM journal"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await session.execute(statement)
    await session.close()
