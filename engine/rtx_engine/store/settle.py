"""Settles a batch account by account: what is answered now, and which orders are tried again. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rtx_engine.domain.events import AccountEvent
from rtx_engine.domain.orders import Execution, MarketOrder
from rtx_engine.store.errors import OrderError
from rtx_engine.store.plan import Key, Outcome, Plan, key_of, recovered_events, replay


@dataclass(frozen=True, slots=True)
class Written:
    """What the database did of a plan."""

    accounts: frozenset[int]  # written as planned
    unmoved: frozenset[int]  # were as they had been read, and held by nobody; `accounts` and those with a repeat
    repeats: Mapping[Key, Execution]  # orders of the plan that were placed before


NOTHING_WRITTEN = Written(frozenset(), frozenset(), {})


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of an attempt, committed."""

    outcomes: Sequence[Outcome | None]  # in the order of the batch; None: not decided, so to be tried again
    events: Sequence[AccountEvent] = ()  # to publish, in order per account


def settle(plan: Plan, written: Written) -> Settlement:
    """Orders of written accounts get what was planned, repeats what was filled then.

    What is left belongs to an account that had moved on, that somebody held, or that has a repeat in this batch.
    """
    unwritten = {before.account_id for before in plan.before} - written.accounts
    outcomes: list[Outcome | None] = []
    recovered: list[AccountEvent] = []
    for order, planned in zip(plan.orders, plan.outcomes, strict=True):
        if order.account_id not in unwritten:
            outcomes.append(planned)
            continue
        before = written.repeats.get(key_of(order))
        outcomes.append(None if before is None else replay(order, before))
        recovered += recovered_events(outcomes[-1:])
    told = [event for event in (*plan.recovered, *plan.events) if event.account_id not in unwritten]
    return Settlement(outcomes, [*recovered, *told])


def settle_fenced(orders: Sequence[MarketOrder], placed: Mapping[Key, Execution], refusal: OrderError) -> Settlement:
    """The end of a batch that another colour's fence refused: what is placed is told, the others get `refusal`."""
    found = [placed.get(key_of(order)) for order in orders]
    outcomes = [
        refusal if before is None else replay(order, before) for order, before in zip(orders, found, strict=True)
    ]
    return Settlement(outcomes, recovered_events(outcomes))
