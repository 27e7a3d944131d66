"""Balances and positions, recomputed from the fills: by the engine's rule, and wrong wherever one digit differs."""

import random
from collections.abc import Iterator
from decimal import Decimal

import msgspec
import pytest
from rtx_engine.domain import positions as engine_positions
from rtx_engine.domain.symbols import SYMBOLS
from rtx_traffic.accounting import CONTRACT_SIZES, Account
from rtx_traffic.ledger import OPENING_BALANCE, Ledger, Record, Request, SocketStarted, encode
from rtx_traffic.rows import AccountFillRow, AccountRow, Database, PositionRow
from rtx_traffic.verdict import Verdict
from verdict_run import ACCOUNT, LOTS, NOTHING, PRICE, Break, dropped, judged, judged_broken, kept_run, other_account


def d(text: str) -> Decimal:
    return Decimal(text)


DEALS = (
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
    fills=DEALS,
)


def judged_account(**values: object) -> Verdict:
    """The verdict over a run whose only account holds `ROW`, changed by `values`; only its account is looked at."""
    records, database = kept_run()
    row = msgspec.structs.replace(ROW, **values)
    return judged(records, msgspec.structs.replace(database, accounts=(row,)))


def test_an_account_that_is_what_its_fills_make_it_is_right() -> None:
    # given an account that bought, sold, turned and went flat, when it is recomputed, then it is right to the digit
    verdict = judged_account()
    assert verdict.accounts_wrong == 0, verdict.findings


def with_deal(place: int, **values: object) -> dict[str, object]:
    fills = list(DEALS)
    fills[place] = msgspec.structs.replace(fills[place], **values)
    return {"fills": tuple(fills)}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"balance": d("100000002.01")}, "has the balance 100000002.01, and its fills come to 100000002.00"),
        ({"balance": d("100000002.0000001")}, "has the balance 100000002.0000001, and"),
        ({"positions": ROW.positions[1:]}, "holds 0 EURUSD at 0 on average, and its fills come to -0.40 at 1.0999275"),
        ({"positions": (*ROW.positions, PositionRow("XAGUSD", d("1"), d("30")))}, "holds 1 XAGUSD at 30 on average"),
        ({"positions": (PositionRow("EURUSD", d("-0.39"), d("1.0999275")),)}, "holds -0.39 EURUSD"),
        ({"positions": (PositionRow("EURUSD", d("-0.40"), d("1.0999275001")),)}, "holds -0.40 EURUSD at 1.0999275001"),
        ({"positions": (PositionRow("EURUSD", d("0.40"), d("1.0999275")),)}, "holds 0.40 EURUSD"),
        (with_deal(2, realised=d("4.13")), "realised 4.13 by its 3. fill, which comes to 4.12"),
        (with_deal(3, price=d("1.09980")), "realised -3.12 by its 4. fill, which comes to "),
        (with_deal(1, quantity=d("0.11")), ""),
        (with_deal(6, quantity=d("0")), "has a fill of no lots, its 7. one"),
        (with_deal(6, symbol="BTCUSD"), "dealt BTCUSD, whose contract size the load does not know"),
        ({"fills": DEALS[:-1]}, "holds -0.40 EURUSD"),
        ({"fills": (DEALS[1], DEALS[0], *DEALS[3:], DEALS[2])}, ""),  # in another order
        ({"events": 7}, "counts 8 events and has 7, the newest of which is number 8"),
        ({"fills_without_event": 1}, "has 1 fills that no event tells: of orders that nobody knows"),
        ({"newest": 9}, "counts 8 events and has 8, the newest of which is number 9"),
    ],
)
def test_an_account_in_which_one_value_differs_is_wrong(values: dict[str, object], said: str) -> None:
    # given such an account, when one value of it is another one
    verdict = judged_account(**values)

    # then the account is wrong, it is told how, and the run was not kept
    assert verdict.accounts_wrong == 1
    assert any(finding.startswith(f"Account {ACCOUNT} {said}") for finding in verdict.findings), verdict.findings
    assert not verdict.kept


@pytest.mark.parametrize("broken", [dropped("accounts", 0), other_account(balance=d("100000000.01"))])
def test_an_account_that_is_missing_or_has_another_balance_breaks_a_run_that_is_kept_otherwise(broken: Break) -> None:
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
def test_a_position_that_is_not_the_sum_of_its_fills_is_wrong(broken: Break) -> None:
    # given a kept run, when its position and its fills differ, then the account is wrong
    verdict = judged_broken(broken)
    assert verdict.accounts_wrong == 1
    assert not verdict.kept


def test_the_balance_begins_with_what_the_ledger_says() -> None:
    # given accounts that were opened with another balance than the load's, when they are judged, then they are right
    records, database = kept_run()
    records[0] = msgspec.structs.replace(records[0], opening_balance="5.00")
    account = msgspec.structs.replace(database.accounts[0], balance=Decimal(5))
    assert judged(records, msgspec.structs.replace(database, accounts=(account,))).kept


def test_an_account_on_which_was_only_listened_or_only_traded_is_judged_too() -> None:
    # given the kept run, when its accounts are asked for, then they are those of orders and of sockets
    records, _ = kept_run()
    assert Ledger.parse(encode(record) for record in records).account_ids() == [ACCOUNT]
    for kind in (Request, SocketStarted):
        others = Ledger.parse(encode(record) for record in records if not isinstance(record, kind))
        assert others.account_ids() == [ACCOUNT]


# beside the engine, whose rule is restated in rtx_traffic.accounting


def test_the_contract_sizes_are_the_engines() -> None:
    assert dict(CONTRACT_SIZES) == {name: symbol.contract_size for name, symbol in SYMBOLS.items()}


def trades(seed: int, count: int) -> Iterator[AccountFillRow]:
    choose = random.Random(seed)  # noqa: S311  repeatable, not unpredictable
    for _ in range(count):
        symbol = choose.choice(list(SYMBOLS.values()))
        price = Decimal(choose.randint(90_000, 110_000)).scaleb(-symbol.digits)
        yield AccountFillRow(symbol.name, Decimal(choose.choice([-1, 1]) * choose.randint(1, 10)) / 100, price, NOTHING)


@pytest.mark.parametrize("seed", range(5))
def test_the_rule_is_the_engines(seed: int) -> None:
    # given 2,000 fills, when both fill them one after the other
    account, held = Account(Decimal(OPENING_BALANCE)), {}
    for fill in trades(seed, 2000):
        before = held.get(fill.symbol, engine_positions.Position(fill.symbol))
        held[fill.symbol], realised = engine_positions.net(before, fill.quantity, fill.price)

        # then each realises the same and leaves the same position
        assert account.apply_fill(fill) == realised
        mine = account.positions[fill.symbol]
        assert (mine.lots, mine.average) == (held[fill.symbol].quantity, held[fill.symbol].average_price)
