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
    event: AccountEvent  # of the execution
    replayed: bool

    @property
    def body(self) -> bytes:
        """The order's response as JSON, made once for its client and for its event."""
        return bytes(self.event.payload)


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
    recovered: Sequence[AccountEvent] = ()  # of orders of the batch that an earlier attempt has committed


@dataclass(slots=True)
class _Progress:
    portfolios: dict[int, Portfolio]
    executions: dict[Key, Execution]
    placed: list[Placed] = field(default_factory=list)  # the new ones


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
    found = {key_of(execution.order): execution for execution in placed}
    progress = _Progress(dict(portfolios), dict(found))
    outcomes: list[Outcome] = []
    recovered: list[AccountEvent] = []
    for order in orders:
        before = progress.executions.get(key_of(order))
        if before is None:
            outcomes.append(_execute(order, progress, quotes, executor, now))
            continue
        outcome = replay(order, before)
        outcomes.append(outcome)
        if key_of(order) in found:  # else it repeats an order that this plan would only place
            recovered += recovered_events([outcome])
    new = sorted(progress.placed, key=lambda one: (one.event.account_id, one.event.sequence))
    changed = sorted({one.event.account_id for one in new})
    return Plan(
        orders=orders,
        outcomes=outcomes,
        executions=[one.execution for one in new],
        events=[one.event for one in new],
        before=[portfolios[account_id] for account_id in changed],
        after=[progress.portfolios[account_id] for account_id in changed],
        recovered=recovered,
    )


def replay(order: MarketOrder, before: Execution) -> Outcome:
    """The outcome of `order` if its client_order_id belongs to `before`."""
    if not before.order.same_request(order):
        message = f"client_order_id {order.client_order_id!r} belongs to another order of this account; use a new one"
        return OrderError(OrderErrorReason.CONFLICT, message)
    return Placed(before, order_event(before), replayed=before.order.order_id != order.order_id)


def recovered_events(replayed: Iterable[Outcome | None]) -> list[AccountEvent]:
    """Of results of `replay`: the events of those very orders, whose COMMIT got no answer, so that nobody was told."""
    return [outcome.event for outcome in replayed if isinstance(outcome, Placed) and not outcome.replayed]


def _execute(
    order: MarketOrder, progress: _Progress, quotes: Mapping[str, Quote], executor: Executor, now: dt.datetime
) -> Outcome:
    portfolio = progress.portfolios.get(order.account_id)
    if portfolio is None:
        return OrderError(OrderErrorReason.UNKNOWN_ACCOUNT, f"account {order.account_id} does not exist")
    progress.portfolios[order.account_id], execution = execute(portfolio, order, quotes, executor, now)
    progress.executions[key_of(order)] = execution
    placed = Placed(execution, order_event(execution), replayed=False)
    progress.placed.append(placed)
    return placed
