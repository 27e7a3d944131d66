"""Plans a batch: what each order does to the portfolios that were read, what to write and what to answer. Pure."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rtx_engine.domain.events import AccountEvent, order_event
from rtx_engine.domain.execution import Executor, Portfolio, execute
from rtx_engine.domain.orders import Execution, MarketOrder
from rtx_engine.domain.pricing import Quote
from rtx_engine.store.errors import OrderError, OrderErrorReason

Key = tuple[int, str]  # account and client_order_id, which identify an order


@dataclass(frozen=True, slots=True)
class Placed:
    """A placed order. `replayed`: an earlier request with the same content placed it."""

    execution: Execution
    replayed: bool


Outcome = Placed | OrderError


@dataclass(frozen=True, slots=True)
class Plan:
    """What a batch becomes if its accounts are as they were read."""

    orders: Sequence[MarketOrder]
    outcomes: Sequence[Outcome]  # of `orders`
    executions: Sequence[Execution]  # to insert; sorted by account and sequence
    events: Sequence[AccountEvent]  # of `executions`
    before: Sequence[Portfolio]  # the accounts of `executions` as they were read; sorted by id
    after: Sequence[Portfolio]  # the same accounts with the executions
    recovered: Sequence[AccountEvent] = ()  # of orders that an earlier attempt at this batch has committed


@dataclass(slots=True)
class _Progress:
    portfolios: dict[int, Portfolio]
    executions: dict[Key, Execution]
    new_executions: list[Execution] = field(default_factory=list)


def key_of(order: MarketOrder) -> Key:
    return (order.account_id, order.client_order_id)


def plan_batch(
    orders: Sequence[MarketOrder],
    portfolios: Mapping[int, Portfolio],
    quotes: Mapping[str, Quote],
    executor: Executor,
    now: dt.datetime,
    placed: Iterable[Execution] = (),
) -> Plan:
    """Execute the orders one after the other, but for those that `placed` has, or an earlier one of the batch.

    `portfolios` holds every account of the batch that exists.
    """
    progress = _Progress(dict(portfolios), {key_of(execution.order): execution for execution in placed})
    outcomes: list[Outcome] = []
    recovered: list[AccountEvent] = []
    for order in orders:
        before = progress.executions.get(key_of(order))
        if before is None:
            outcomes.append(_execute(order, progress, quotes, executor, now))
            continue
        outcomes.append(replay(order, before))
        if is_own(order, before):
            recovered.append(order_event(before))
    executions = sorted(progress.new_executions, key=lambda one: (one.order.account_id, one.sequence))
    changed = sorted({execution.order.account_id for execution in executions})
    return Plan(
        orders=orders,
        outcomes=outcomes,
        executions=executions,
        events=[order_event(execution) for execution in executions],
        before=[portfolios[account_id] for account_id in changed],
        after=[progress.portfolios[account_id] for account_id in changed],
        recovered=recovered,
    )


def replay(order: MarketOrder, before: Execution) -> Outcome:
    """The outcome of `order` if its client_order_id belongs to `before`."""
    if not before.order.same_request(order):
        message = f"client_order_id {order.client_order_id!r} belongs to another order of this account; use a new one"
        return OrderError(OrderErrorReason.CONFLICT, message)
    return Placed(before, replayed=not is_own(order, before))


def is_own(order: MarketOrder, before: Execution) -> bool:
    """Whether `before` is this very order, committed by an attempt that got no answer: not replayed, not yet told."""
    return before.order.order_id == order.order_id


def _execute(
    order: MarketOrder, progress: _Progress, quotes: Mapping[str, Quote], executor: Executor, now: dt.datetime
) -> Outcome:
    portfolio = progress.portfolios.get(order.account_id)
    if portfolio is None:
        return OrderError(OrderErrorReason.UNKNOWN_ACCOUNT, f"account {order.account_id} does not exist")
    progress.portfolios[order.account_id], execution = execute(portfolio, order, quotes, executor, now)
    progress.executions[key_of(order)] = execution
    progress.new_executions.append(execution)
    return Placed(execution, replayed=False)
