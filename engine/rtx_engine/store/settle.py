"""Settles a batch account by account: what is answered now, and which orders are tried again. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from rtx_engine.domain.events import AccountEvent, order_event
from rtx_engine.domain.orders import Execution, MarketOrder
from rtx_engine.store.errors import OrderError
from rtx_engine.store.plan import Key, Outcome, Plan, is_own, key_of, replay


@dataclass(frozen=True, slots=True)
class Written:
    """What the database did of a plan."""

    accounts: Collection[int]  # written as planned
    unmoved: Collection[int]  # were as they had been read, and held by nobody; `accounts` and those with a repeat
    repeats: Mapping[Key, Execution]  # orders of the plan that were placed before


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of an attempt, committed."""

    outcomes: Sequence[Outcome | None]  # in the order of the batch; None: not decided, so to be tried again
    events: Sequence[AccountEvent] = ()  # to publish, in order per account


def settle(plan: Plan, written: Written) -> Settlement:
    """Orders of written accounts get what was planned, repeats what was filled then.

    What is left belongs to an account that had moved on, that somebody held, or that has a repeat in this batch.
    """
    planned = {portfolio.account_id for portfolio in plan.before}
    recovered = [
        order_event(written.repeats[key_of(order)])
        for order in plan.orders
        if key_of(order) in written.repeats and is_own(order, written.repeats[key_of(order)])
    ]
    outcomes = [
        outcome if order.account_id in written.accounts or order.account_id not in planned else _repeat(order, written)
        for order, outcome in zip(plan.orders, plan.outcomes, strict=True)
    ]
    events = [event for event in plan.events if event.account_id in written.accounts]
    return Settlement(outcomes, [*plan.recovered, *recovered, *events])


def settle_fenced(orders: Sequence[MarketOrder], placed: Mapping[Key, Execution], refusal: OrderError) -> Settlement:
    """The end of a batch that another colour's fence refused: what is placed is told, the others get `refusal`."""
    found = [(order, placed.get(key_of(order))) for order in orders]
    return Settlement(
        [refusal if before is None else replay(order, before) for order, before in found],
        [order_event(before) for order, before in found if before is not None and is_own(order, before)],
    )


def _repeat(order: MarketOrder, written: Written) -> Outcome | None:
    before = written.repeats.get(key_of(order))
    return None if before is None else replay(order, before)
