"""Executes a batch of orders against the rows that were read, and prepares the write. Pure."""

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

Key = tuple[int, str]  # account and client_order_id, which identify an order


@dataclass(frozen=True, slots=True)
class Placed:
    """A placed order. `replayed`: an earlier request with the same content placed it."""

    execution: Execution
    replayed: bool


@dataclass(frozen=True, slots=True)
class BatchInput:
    """The rows read for a batch."""

    portfolios: Mapping[int, Portfolio]  # by account
    executions: Mapping[Key, Execution]  # of the orders placed before


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The rows to write and the outcomes, in the order of the batch."""

    outcomes: Sequence[Placed | OrderError]
    executions: Sequence[Execution]  # to insert; sorted by account and sequence
    events: Sequence[AccountEvent]  # of `executions`
    portfolios: Sequence[Portfolio]  # to update; sorted by account
    read: Sequence[Portfolio]  # the same accounts, as they were read
    recovered: Sequence[AccountEvent]  # of orders that an earlier attempt of this batch committed


@dataclass(slots=True)
class _Progress:
    portfolios: dict[int, Portfolio]
    executions: dict[Key, Execution]
    new_executions: list[Execution] = field(default_factory=list)
    changed_accounts: set[int] = field(default_factory=set)


def execute_batch(
    orders: Iterable[MarketOrder], found: BatchInput, quotes: Mapping[str, Quote], executor: Executor, now: dt.datetime
) -> BatchResult:
    """Execute the orders that were not placed before, one after the other.

    An order found under the same order_id was committed by an earlier attempt, whose COMMIT got no response. It counts
    as placed now: not replayed, and its event is published.
    """
    progress = _Progress(dict(found.portfolios), dict(found.executions))
    outcomes: list[Placed | OrderError] = []
    recovered: list[AccountEvent] = []
    for order in orders:
        key = (order.account_id, order.client_order_id)
        before = progress.executions.get(key)
        if before is None:
            outcomes.append(_execute(order, progress, quotes, executor, now))
            continue
        outcomes.append(replay(order, before))
        if before.order.order_id == order.order_id:
            recovered.append(order_event(before))
    new_executions = sorted(
        progress.new_executions, key=lambda execution: (execution.order.account_id, execution.sequence)
    )
    changed_accounts = sorted(progress.changed_accounts)
    return BatchResult(
        outcomes=outcomes,
        executions=new_executions,
        events=[order_event(execution) for execution in new_executions],
        portfolios=[progress.portfolios[account_id] for account_id in changed_accounts],
        read=[found.portfolios[account_id] for account_id in changed_accounts],
        recovered=recovered,
    )


def _execute(
    order: MarketOrder, progress: _Progress, quotes: Mapping[str, Quote], executor: Executor, now: dt.datetime
) -> Placed | OrderError:
    portfolio = progress.portfolios.get(order.account_id)
    if portfolio is None:
        return OrderError(OrderErrorReason.UNKNOWN_ACCOUNT, f"account {order.account_id} does not exist")
    progress.portfolios[order.account_id], execution = execute(portfolio, order, quotes, executor, now)
    progress.executions[order.account_id, order.client_order_id] = execution
    progress.new_executions.append(execution)
    progress.changed_accounts.add(order.account_id)
    return Placed(execution, replayed=False)


def replay(order: MarketOrder, before: Execution) -> Placed | OrderError:
    """The outcome of `order` if its client_order_id belongs to `before`."""
    if not before.order.same_request(order):
        message = f"client_order_id {order.client_order_id!r} belongs to another order of this account; use a new one"
        return OrderError(OrderErrorReason.CONFLICT, message)
    return Placed(before, replayed=before.order.order_id != order.order_id)


def write_arguments(batch: BatchResult) -> list[list[Any]]:
    """The arguments of statements.WRITE, in its order."""
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


def batch_input(portfolios: Iterable[Mapping[str, Any]], orders: Iterable[Mapping[str, Any]] = ()) -> BatchInput:
    """The batch input from the rows of statements.PORTFOLIOS and PLACED."""
    executions = [execution_from(row) for row in orders]
    return BatchInput(
        {row["id"]: _portfolio_from(row) for row in portfolios},
        {(e.order.account_id, e.order.client_order_id): e for e in executions},
    )


def _portfolio_from(row: Mapping[str, Any]) -> Portfolio:
    held = zip(row["symbols"] or (), row["quantities"] or (), row["average_prices"] or (), strict=True)
    positions = {symbol: Position(symbol, quantity, price) for symbol, quantity, price in held}
    return Portfolio(row["id"], row["balance"], row["leverage"], row["event_sequence"], positions)
