"""Balances and positions recomputed from fills and entries equal the engine's; one different digit is found."""

import random
from collections.abc import Iterator
from decimal import Decimal

import msgspec
import pytest
from rtx_engine.domain import positions as engine_positions
from rtx_engine.domain.symbols import SYMBOLS
from rtx_traffic.accounting import CONTRACT_SIZES, Account
from rtx_traffic.ledger import OPENING_BALANCE, Ledger, Record, Request, SocketStarted, encode
from rtx_traffic.rows import AccountFillRow, AccountRow, Database, EntryRow, PositionRow, UnbalancedRow
from rtx_traffic.verdict import Verdict
from verdict_run import ACCOUNT, LOTS, NOTHING, PRICE, Break, dropped, judged, judged_broken, kept_run, other_account


def d(text: str) -> Decimal:
    return Decimal(text)


FILLS = (
    AccountFillRow("EURUSD", d("0.30"), d("1.10000"), d("0")),
    AccountFillRow("EURUSD", d("0.10"), d("1.10010"), d("0")),  # 0.40 at 1.100025 on average
    AccountFillRow("EURUSD", d("-0.15"), d("1.10030"), d("4.12")),  # 15,000 x 0.000275 = 4.125, half to even
    AccountFillRow("EURUSD", d("-0.55"), d("1.09990"), d("-3.12")),  # closes 0.25 (-3.125), and opens 0.30 short
    AccountFillRow("XAUUSD", d("-0.02"), d("2400.10"), d("0")),
    AccountFillRow("XAUUSD", d("0.02"), d("2399.60"), d("1.00")),  # flat
    AccountFillRow("EURUSD", d("-0.10"), d("1.10001"), d("0")),  # 0.40 short: (0.3 x 1.0999 + 0.1 x 1.10001) / 0.4
)
ROW = AccountRow(
    ACCOUNT,
    balance=d("100000002.00"),
    sequence=8,  # one order was rejected
    events=8,
    newest=8,
    fills_without_event=0,
    positions=(PositionRow("EURUSD", d("-0.40"), d("1.0999275")), PositionRow("XAUUSD", d("0.00"), d("0"))),
    fills=FILLS,
)


def judged_account(**values: object) -> Verdict:
    """The verdict over a run whose only account holds `ROW`, changed by `values`; only its account is looked at."""
    records, database = kept_run()
    row = msgspec.structs.replace(ROW, **values)
    return judged(records, msgspec.structs.replace(database, accounts=(row,)))


def test_account_that_matches_its_fills_is_right() -> None:
    # given an account that bought, sold, turned and went flat, when it is recomputed, then it is right to the digit
    verdict = judged_account()
    assert verdict.accounts_wrong == 0, verdict.findings


OPENING = EntryRow(0, "opening", 10_000_000_000)
DEPOSIT, WITHDRAWAL = EntryRow(4, "deposit", 25_000), EntryRow(9, "withdrawal", -1)
ENTRIES = {"entries": (OPENING, DEPOSIT, WITHDRAWAL), "sequence": 10, "events": 10, "newest": 10}


def test_account_that_matches_its_fills_and_entries_is_right() -> None:
    verdict = judged_account(balance=d("100000251.99"), **ENTRIES)
    assert verdict.accounts_wrong == 0, verdict.findings


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {"balance": d("100000002.00")},
            "has the balance 100000002.00 instead of 100000251.99, computed from its fills",
        ),
        ({"entries": (OPENING, WITHDRAWAL)}, "has the balance 100000251.99 instead of 100000001.99"),
        ({"entries": (DEPOSIT, WITHDRAWAL)}, "was opened with 100000000.00, but the first entry of its journal is"),
        ({"entries": (EntryRow(0, "opening", 1), DEPOSIT)}, "was opened with 100000000.00, but the first entry"),
    ],
)
def test_account_with_a_wrong_or_missing_entry_is_wrong(values: dict[str, object], expected: str) -> None:
    verdict = judged_account(**({"balance": d("100000251.99")} | ENTRIES | values))
    assert verdict.accounts_wrong == 1
    assert verdict.findings[0].startswith(f"Account {ACCOUNT} {expected}")


def test_account_of_nobody_in_the_run_must_balance_too() -> None:
    # given a kept run beside an account whose ledger lacks a cent
    records, database = kept_run()
    row = UnbalancedRow("99", d("10.00"), 999)

    verdict = judged(records, msgspec.structs.replace(database, unbalanced=(row,)))

    assert (verdict.accounts_unbalanced, verdict.accounts_wrong, verdict.kept) == (1, 0, False)
    assert verdict.findings == ("Account 99 has the balance 10.00, but its ledger comes to 999 cents.",)


def with_fill(place: int, **values: object) -> dict[str, object]:
    fills = list(FILLS)
    fills[place] = msgspec.structs.replace(fills[place], **values)
    return {"fills": tuple(fills)}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"balance": d("100000002.01")}, "has the balance 100000002.01 instead of 100000002.00"),
        ({"balance": d("100000002.0000001")}, "has the balance 100000002.0000001 instead of"),
        ({"positions": ROW.positions[1:]}, "holds 0 EURUSD at average price 0 instead of -0.40 at 1.0999275"),
        ({"positions": (*ROW.positions, PositionRow("XAGUSD", d("1"), d("30")))}, "holds 1 XAGUSD at average price 30"),
        ({"positions": (PositionRow("EURUSD", d("-0.39"), d("1.0999275")),)}, "holds -0.39 EURUSD"),
        (
            {"positions": (PositionRow("EURUSD", d("-0.40"), d("1.0999275001")),)},
            "holds -0.40 EURUSD at average price 1.0999275001",
        ),
        ({"positions": (PositionRow("EURUSD", d("0.40"), d("1.0999275")),)}, "holds 0.40 EURUSD"),
        (with_fill(2, realised=d("4.13")), "realised 4.13 in fill number 3 instead of 4.12"),
        (with_fill(3, price=d("1.09980")), "realised -3.12 in fill number 4 instead of "),
        (with_fill(1, quantity=d("0.11")), ""),
        (with_fill(6, quantity=d("0")), "has no lots in fill number 7"),
        (with_fill(6, symbol="BTCUSD"), "has a fill of BTCUSD, whose contract size the load does not know"),
        ({"fills": FILLS[:-1]}, "holds -0.40 EURUSD"),
        ({"fills": (FILLS[1], FILLS[0], *FILLS[3:], FILLS[2])}, ""),  # in another order
        ({"events": 7}, "has sequence 8, but 7 events, the newest with sequence 8"),
        ({"fills_without_event": 1}, "has 1 fills without an event, of unknown orders"),
        ({"newest": 9}, "has sequence 8, but 8 events, the newest with sequence 9"),
    ],
)
def test_account_with_one_different_value_is_wrong(values: dict[str, object], expected: str) -> None:
    # given such an account, when one value of it is another one
    verdict = judged_account(**values)

    # then the account is wrong, with a finding, and the run is not kept
    assert verdict.accounts_wrong == 1
    assert any(finding.startswith(f"Account {ACCOUNT} {expected}") for finding in verdict.findings), verdict.findings
    assert not verdict.kept


@pytest.mark.parametrize("broken", [dropped("accounts", 0), other_account(balance=d("100000000.01"))])
def test_missing_or_wrong_account_breaks_a_kept_run(broken: Break) -> None:
    # given a kept run, when its account is gone, or has a cent more
    verdict = judged_broken(broken)

    # then that alone is wrong
    assert (verdict.accounts_wrong, verdict.orders_lost, verdict.orders_doubled) == (1, 0, 0)
    assert not verdict.kept


def position_too_large(_: list[Record], database: Database) -> Database:
    positions = (PositionRow("EURUSD", Decimal("0.4"), PRICE),)
    return msgspec.structs.replace(
        database, accounts=(msgspec.structs.replace(database.accounts[0], positions=positions),)
    )


def a_fill_that_no_order_has(_: list[Record], database: Database) -> Database:
    (account,) = database.accounts
    fills = (*account.fills, AccountFillRow("EURUSD", LOTS, PRICE, NOTHING))
    return msgspec.structs.replace(database, accounts=(msgspec.structs.replace(account, fills=fills),))


@pytest.mark.parametrize("broken", [position_too_large, a_fill_that_no_order_has])
def test_position_that_differs_from_its_fills_is_wrong(broken: Break) -> None:
    # given a kept run, when its position and its fills differ, then the account is wrong
    verdict = judged_broken(broken)
    assert verdict.accounts_wrong == 1
    assert not verdict.kept


def test_balance_starts_at_the_ledgers_opening_balance() -> None:
    # given accounts that were opened with another balance than the load's, when they are judged, then they are right
    records, database = kept_run()
    records[0] = msgspec.structs.replace(records[0], opening_balance="5.00")
    account = msgspec.structs.replace(database.accounts[0], balance=Decimal(5))
    assert judged(records, msgspec.structs.replace(database, accounts=(account,))).kept


def test_accounts_only_listened_to_or_only_traded_on_are_checked() -> None:
    # given the kept run, when its accounts are asked for, then they are those of orders and of sockets
    records, _ = kept_run()
    assert Ledger.parse(encode(record) for record in records).account_ids() == [ACCOUNT]
    for kind in (Request, SocketStarted):
        others = Ledger.parse(encode(record) for record in records if not isinstance(record, kind))
        assert others.account_ids() == [ACCOUNT]


# beside the engine, whose rule is restated in rtx_traffic.accounting


def test_contract_sizes_equal_the_engines() -> None:
    assert dict(CONTRACT_SIZES) == {name: symbol.contract_size for name, symbol in SYMBOLS.items()}


def trades(seed: int, count: int) -> Iterator[AccountFillRow]:
    choose = random.Random(seed)  # noqa: S311  repeatable, not unpredictable
    for _ in range(count):
        symbol = choose.choice(list(SYMBOLS.values()))
        price = Decimal(choose.randint(90_000, 110_000)).scaleb(-symbol.digits)
        yield AccountFillRow(symbol.name, Decimal(choose.choice([-1, 1]) * choose.randint(1, 10)) / 100, price, NOTHING)


@pytest.mark.parametrize("seed", range(5))
def test_recomputation_equals_the_engines(seed: int) -> None:
    # given 2,000 fills, when both fill them one after the other
    account, held = Account(Decimal(OPENING_BALANCE)), {}
    for fill in trades(seed, 2000):
        before = held.get(fill.symbol, engine_positions.Position(fill.symbol))
        held[fill.symbol], realised = engine_positions.net(before, fill.quantity, fill.price)

        # then each realises the same and leaves the same position
        assert account.apply_fill(fill) == realised
        mine = account.positions[fill.symbol]
        assert (mine.lots, mine.average) == (held[fill.symbol].quantity, held[fill.symbol].average_price)
