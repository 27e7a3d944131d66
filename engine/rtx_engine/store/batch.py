"""What a batch of orders writes, decided from what the locked rows say. Pure."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from rtx_engine.domain.events import AccountEvent, order_event
from rtx_engine.domain.execution import Executor, Portfolio, execute
from rtx_engine.domain.orders import Execution, MarketOrder, OrderStatus, RejectReason, Side
from rtx_engine.domain.positions import Position
from rtx_engine.domain.pricing import Quote
from rtx_engine.store.errors import OrderError, OrderErrorReason

Key = tuple[int, str]  # account and client_order_id: what makes an order unique


@dataclass(frozen=True, slots=True)
class Placed:
    """The answer to an order. `replayed`: it had been placed before, by another request of the same content."""

    execution: Execution
    replayed: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What the database says of a batch's accounts and of its orders."""

    portfolios: Mapping[int, Portfolio]  # by account
    executions: Mapping[Key, Execution]  # of the orders that had been placed before


@dataclass(frozen=True, slots=True)
class Plan:
    """What to write and what to answer; `outcomes` are in the order of the batch."""

    outcomes: Sequence[Placed | OrderError]
    executions: Sequence[Execution]  # to insert, by account and then by sequence
    events: Sequence[AccountEvent]  # theirs
    portfolios: Sequence[Portfolio]  # to update, by account
    read: Sequence[Portfolio]  # what those were made of
    settled: Sequence[AccountEvent]  # of our own orders that an earlier attempt had committed


@dataclass(slots=True)
class _Progress:
    portfolios: dict[int, Portfolio]
    executions: dict[Key, Execution]
    made: list[Execution] = field(default_factory=list)
    touched: set[int] = field(default_factory=set)


def plan(
    orders: Iterable[MarketOrder], found: Found, quotes: Mapping[str, Quote], executor: Executor, now: dt.datetime
) -> Plan:
    """Execute each order that was not placed before, one after the other.

    An order that is found with our own id was committed by an attempt whose COMMIT got no answer: it is answered, and
    its event published, as if for the first time.
    """
    progress = _Progress(dict(found.portfolios), dict(found.executions))
    outcomes: list[Placed | OrderError] = []
    settled: list[AccountEvent] = []
    for order in orders:
        key = (order.account_id, order.client_order_id)
        before = progress.executions.get(key)
        if before is None:
            outcomes.append(_execute(order, progress, quotes, executor, now))
            continue
        outcomes.append(repeat(order, before))
        if before.order.order_id == order.order_id:
            settled.append(order_event(before))
    made = sorted(progress.made, key=lambda execution: (execution.order.account_id, execution.sequence))
    touched = sorted(progress.touched)
    return Plan(
        outcomes=outcomes,
        executions=made,
        events=[order_event(execution) for execution in made],
        portfolios=[progress.portfolios[account_id] for account_id in touched],
        read=[found.portfolios[account_id] for account_id in touched],
        settled=settled,
    )


def _execute(
    order: MarketOrder, progress: _Progress, quotes: Mapping[str, Quote], executor: Executor, now: dt.datetime
) -> Placed | OrderError:
    portfolio = progress.portfolios.get(order.account_id)
    if portfolio is None:
        return OrderError(OrderErrorReason.UNKNOWN_ACCOUNT, f"account {order.account_id} does not exist")
    progress.portfolios[order.account_id], execution = execute(portfolio, order, quotes, executor, now)
    progress.executions[order.account_id, order.client_order_id] = execution
    progress.made.append(execution)
    progress.touched.add(order.account_id)
    return Placed(execution, replayed=False)


def repeat(order: MarketOrder, before: Execution) -> Placed | OrderError:
    """The answer to `order` when its client_order_id stands for `before`."""
    if not before.order.same_request(order):
        said = f"client_order_id {order.client_order_id!r} stands for another order of this account; use a new one"
        return OrderError(OrderErrorReason.CONFLICT, said)
    return Placed(before, replayed=before.order.order_id != order.order_id)


def columns(batch: Plan) -> list[list[Any]]:
    """The plan as the arrays of statements.WRITE, in its order."""
    executions, portfolios = batch.executions, batch.portfolios
    orders = [execution.order for execution in executions]
    dealt = {(e.order.account_id, e.order.symbol) for e in executions if e.status is OrderStatus.FILLED}
    positions = [
        (portfolio.account_id, position)
        for portfolio in portfolios
        for position in portfolio.positions.values()
        if (portfolio.account_id, position.symbol) in dealt
    ]
    return [
        [order.order_id for order in orders],
        [order.account_id for order in orders],
        [order.client_order_id for order in orders],
        [order.symbol for order in orders],
        [order.side for order in orders],
        [order.quantity for order in orders],
        [execution.status for execution in executions],
        [execution.reason for execution in executions],
        [execution.price for execution in executions],
        [execution.realised for execution in executions],
        [execution.sequence for execution in executions],
        [execution.epoch for execution in executions],
        [execution.colour for execution in executions],
        [execution.executed_at for execution in executions],
        [execution.quoted_at for execution in executions],
        [event.kind for event in batch.events],
        [bytes(event.payload).decode() for event in batch.events],
        [account_id for account_id, _ in positions],
        [position.symbol for _, position in positions],
        [position.quantity for _, position in positions],
        [position.average_price for _, position in positions],
        [portfolio.account_id for portfolio in portfolios],
        [portfolio.balance for portfolio in portfolios],
        [portfolio.sequence for portfolio in portfolios],
        [portfolio.sequence for portfolio in batch.read],
    ]


def execution_from(row: Mapping[str, Any]) -> Execution:
    """A row of `orders`, as the statements select it."""
    order = MarketOrder(
        order_id=UUID(int=row["id"].int),  # asyncpg's own UUID class looks like the standard one and is not quite it
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


def found_from(portfolios: Iterable[Mapping[str, Any]], orders: Iterable[Mapping[str, Any]] = ()) -> Found:
    """The rows that statements.PORTFOLIOS and PLACED select."""
    executions = [execution_from(row) for row in orders]
    return Found(
        {row["id"]: _portfolio_from(row) for row in portfolios},
        {(e.order.account_id, e.order.client_order_id): e for e in executions},
    )


def _portfolio_from(row: Mapping[str, Any]) -> Portfolio:
    held = zip(row["symbols"] or (), row["quantities"] or (), row["average_prices"] or (), strict=True)
    positions = {symbol: Position(symbol, quantity, price) for symbol, quantity, price in held}
    return Portfolio(row["id"], row["balance"], row["leverage"], row["event_sequence"], positions)
