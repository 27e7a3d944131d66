"""Plans as what SQL takes, and rows as domain objects. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from rtx_engine.domain import scales
from rtx_engine.domain.entries import Entry, EntryKind, id_of
from rtx_engine.domain.events import entry_event, message
from rtx_engine.domain.execution import Portfolio
from rtx_engine.domain.orders import Execution, MarketOrder, OrderStatus, RejectReason, Side
from rtx_engine.domain.positions import Position
from rtx_engine.domain.transfers import Transfer
from rtx_engine.store.plan import Key, Plan, key_of
from rtx_engine.store.settle import Written

Row = Mapping[str, Any]

_encode = msgspec.json.Encoder().encode


class _PositionRow(msgspec.Struct, frozen=True):
    """A position as statements.WRITE takes it. `known`: it was read, so it has a row."""

    quantity: Decimal
    average_price: Decimal
    known: bool


def write_arguments(plan: Plan) -> list[list[Any]]:
    """The arguments of statements.WRITE, in its order."""
    return [
        [event.account_id for event in plan.events],
        [bytes(event.payload).decode() for event in plan.events],
        _positions(plan),
        [execution.order.valid_until for execution in plan.executions],
    ]


def written_from(rows: Sequence[Row]) -> Written:
    """What statements.WRITE did: each of its rows names the accounts, and at most one earlier order."""
    first = rows[0]
    placed = executions_from(row for row in rows if row["id"] is not None)
    return Written(frozenset(first["written"] or ()), frozenset(first["unmoved"] or ()), placed)


def executions_from(rows: Iterable[Row]) -> dict[Key, Execution]:
    """The executions in rows of `orders`, by key."""
    executions = (execution_from(row) for row in rows)
    return {key_of(execution.order): execution for execution in executions}


def execution_from(row: Row) -> Execution:
    """The execution in a row of `orders`."""
    order = MarketOrder(
        order_id=UUID(int=row["id"].int),  # asyncpg returns a UUID class of its own
        account_id=row["account_id"],
        client_order_id=row["client_order_id"],
        symbol=row["symbol"],
        side=Side(row["side"]),
        quantity=row["quantity"],
    )
    return Execution(
        order=order,
        status=OrderStatus(row["status"]),
        sequence=row["sequence"],
        epoch=row["epoch"],
        colour=row["colour"],
        executed_at=row["executed_at"],
        reason=RejectReason(row["reason"]) if row["reason"] is not None else None,
        price=row["price"],
        realised=row["realised"],
        quoted_at=row["quoted_at"],
    )


def entry_arguments(entry: Entry, transfer: Transfer, epoch: int, colour: str) -> list[Any]:
    """The arguments of statements.ENTER, in its order."""
    return [
        entry.account_id,
        entry.sequence,
        entry.posted_at,
        entry.kind.value,
        scales.to_minor(entry.amount),
        scales.to_minor(entry.balance),
        transfer.key,
        entry.reason,
        transfer.author,
        epoch,
        str(colour),
        message(entry_event(entry)).decode(),
        entry.amount,
    ]


def entry_from(row: Row) -> Entry:
    """The entry in a row of `journal`."""
    return Entry(
        account_id=row["account_id"],
        sequence=row["sequence"],
        kind=EntryKind(row["kind"]),
        entry_id=id_of(row["client_order_id"]),
        amount=scales.from_minor(row["amount"]),
        balance=scales.from_minor(row["balance"]),
        reason=row["reason"],
        posted_at=row["at"],
    )


def portfolios_from(rows: Iterable[Row]) -> dict[int, Portfolio]:
    """The portfolios in rows of statements.READ, by account."""
    return {row["id"]: _portfolio_from(row) for row in rows}


def _portfolio_from(row: Row) -> Portfolio:
    held = zip(row["symbols"] or (), row["quantities"] or (), row["average_prices"] or (), strict=True)
    positions = {symbol: Position(symbol, quantity, price) for symbol, quantity, price in held}
    return Portfolio(row["id"], row["balance"], row["leverage"], row["event_sequence"], positions)


def _positions(plan: Plan) -> list[str | None]:
    """For each execution the position that it leaves, if it is the last one of its account that deals in the symbol."""
    before = {portfolio.account_id: portfolio.positions for portfolio in plan.before}
    after = {portfolio.account_id: portfolio.positions for portfolio in plan.after}
    left: list[str | None] = [None] * len(plan.executions)
    seen: set[tuple[int, str]] = set()
    for number in reversed(range(len(plan.executions))):
        execution = plan.executions[number]
        account_id, symbol = execution.order.account_id, execution.order.symbol
        if execution.status is OrderStatus.FILLED and (account_id, symbol) not in seen:
            seen.add((account_id, symbol))
            position = after[account_id][symbol]
            row = _PositionRow(position.quantity, position.average_price, symbol in before[account_id])
            left[number] = _encode(row).decode()
    return left
