"""Compares each sent order with its answers and with the database. Pure.

An unanswered order may be missing in the database; if it is there, it must match.
"""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from http import HTTPStatus

import msgspec

from .ledger import Ledger, Order, OrderAnswer
from .rows import Database, EventRow, FillRow, OrderRow

FILLED = "filled"
COMMON_FIELDS = tuple(
    name for name in OrderAnswer.__struct_fields__ if name != "quoted_at"
)  # in the answers of every release
SIGNS = {"buy": 1, "sell": -1}

Difference = tuple[str, object, object]  # name, expected value, actual value


class Sent(msgspec.Struct):
    """The requests of one client order id."""

    order: Order
    is_sent: bool = False  # False: due, but never sent
    is_open: bool = False  # an attempt without an answer or with 5xx: the database may hold the order
    answers: list[OrderAnswer] = []
    filled_now: int = 0  # answers with 201; 200 means a repeat


class Comparison:
    """Compares the ledger's orders with the database's rows."""

    def __init__(self, ledger: Ledger, database: Database) -> None:
        """Indexes orders and rows by id."""
        self._database = database
        self.sent = _sent(ledger)
        self._rows = {row.client_order_id: row for row in database.orders}
        self._events = {row.client_order_id: row for row in database.events}
        self._fills: defaultdict[str, list[FillRow]] = defaultdict(list)
        for fill in database.fills:
            self._fills[fill.order_id].append(fill)

    def lost(self) -> Iterator[str]:
        """A sentence for each acknowledged order that the database lacks, or holds with other values."""
        for client_order_id, sent in self.sent.items():
            if not sent.answers:
                continue
            row = self._rows.get(client_order_id)
            if row is None:
                yield f"Order {client_order_id} was acknowledged and is not in the database."
            elif difference := self._row_difference(
                (*_request_differences(sent.order, row), *_answer_differences(sent, row)), row
            ):
                yield f"Order {client_order_id} was acknowledged, but the database holds {difference}."

    def altered(self) -> Iterator[str]:
        """A sentence for each order in the database that was never sent, or that differs from what was sent."""
        for client_order_id, row in self._rows.items():
            sent = self.sent.get(client_order_id)
            if sent is None or not sent.is_sent:
                yield f"Order {client_order_id} is in the database, but was never sent."
            elif not sent.answers and row.status == FILLED and not sent.is_open:
                yield f"Order {client_order_id} was rejected each time, but the database holds it as filled."
            elif not sent.answers and (difference := self._row_difference(_request_differences(sent.order, row), row)):
                yield f"Order {client_order_id} got no answer, but the database holds {difference}."
        for client_order_id, event in self._events.items():
            sent = self.sent.get(client_order_id)
            if client_order_id not in self._rows and not (sent and sent.answers):  # with an answer it counts as lost
                where = f"event {event.sequence} of account {event.account_id}"
                yield f"Order {client_order_id} is in {where}, but not in the orders table."

    def doubled(self) -> Iterator[str]:
        """A sentence for each sign that an order was executed more than once."""
        for client_order_id, times in Counter(row.client_order_id for row in self._database.orders).items():
            if times > 1:
                yield f"Client order id {client_order_id} has {times} orders in the database."
        for row in self._rows.values():
            if (filled := _filled(self._fills[row.order_id])) > row.quantity:
                yield f"Order {row.client_order_id} of {row.quantity} lots was filled {filled}."
        for client_order_id, times in Counter(row.client_order_id for row in self._database.events).items():
            if times > 1:
                yield f"Order {client_order_id} has {times} events."
        for client_order_id, sent in self.sent.items():
            if (count := len({answer.order_id for answer in sent.answers})) > 1:
                yield f"Client order id {client_order_id} was answered with {count} different order ids."
            elif sent.filled_now > 1:
                yield f"Client order id {client_order_id} was answered {sent.filled_now} times as a new fill."

    def answered_otherwise(self) -> Iterator[str]:
        """A sentence for each answer to a repeat that differs from the first answer."""
        for client_order_id, sent in self.sent.items():
            quoted_at = next((answer.quoted_at for answer in sent.answers if answer.quoted_at), None)
            for answer in sent.answers[1:]:
                if difference := _response_difference(sent.answers[0], answer, quoted_at):
                    yield f"A repeat of order {client_order_id} was answered with {difference}."

    def _row_difference(self, differences: Iterable[Difference], row: OrderRow) -> str:
        """The first difference of the order's row, then of its fill and event."""
        fills, event = self._fills[row.order_id], self._events.get(row.client_order_id)
        if row.status == FILLED and not fills:
            return "no fill for it"
        if row.status != FILLED and fills:
            return f"a fill for it, although its status is {row.status}"
        if event is None:
            return "no event for it"
        of_rows = [
            *(difference for fill in fills[:1] for difference in _fill_differences(row, fill)),
            *_event_differences(row, event),
        ]
        return _first_difference([*differences, *of_rows])


def _sent(ledger: Ledger) -> dict[str, Sent]:
    """The ledger's orders by client order id, with their answers in order of arrival."""
    orders: dict[str, Sent] = {}
    for request in ledger.requests():
        if request.order is None:
            continue
        sent = orders.setdefault(request.order.client_order_id, Sent(request.order))
        sent.is_sent |= request.sent is not None
        sent.is_open |= request.sent is not None and not 400 <= (request.status or 0) < 500
        if request.answer:
            sent.answers.append(request.answer)
            sent.filled_now += request.status == HTTPStatus.CREATED
    return orders


def _request_differences(order: Order, row: OrderRow) -> Sequence[Difference]:
    return (
        ("account_id", order.account_id, row.account_id),
        ("symbol", order.symbol, row.symbol),
        ("side", order.side, row.side),
        ("quantity", Decimal(order.quantity), row.quantity),
    )


def _answer_differences(sent: Sent, row: OrderRow) -> Iterator[Difference]:
    """The comparisons of the first answer; later answers are compared with it."""
    answer = sent.answers[0]
    for name in COMMON_FIELDS:
        yield name, getattr(answer, name), getattr(row, name)
    yield "status", FILLED, row.status


def _fill_differences(row: OrderRow, fill: FillRow) -> Sequence[Difference]:
    quantity = SIGNS.get(row.side, 0) * row.quantity
    return (
        ("fill.account_id", row.account_id, fill.account_id),
        ("fill.symbol", row.symbol, fill.symbol),
        ("fill.direction", quantity > 0, fill.quantity > 0),
        ("fill.quantity", abs(quantity), min(abs(fill.quantity), abs(quantity))),  # more counts as doubled
        ("fill.price", row.price, fill.price),
        ("fill.realised", row.realised, fill.realised),
        ("fill.epoch", row.epoch, fill.epoch),
    )


def _event_differences(row: OrderRow, event: EventRow) -> Sequence[Difference]:
    return (
        ("event.account_id", row.account_id, event.account_id),
        ("event.sequence", row.sequence, event.sequence),
        ("an event with its values", True, event.matches_order),
    )


def _response_difference(first: OrderAnswer, other: OrderAnswer, quoted_at: dt.datetime | None) -> str:
    """`quoted_at` is the order's first reported one."""
    common = [(name, getattr(first, name), getattr(other, name)) for name in COMMON_FIELDS]
    return _first_difference([*common, ("quoted_at", quoted_at, other.quoted_at or quoted_at)])


def _first_difference(differences: Iterable[Difference]) -> str:
    return next(
        (f"{name} {actual} instead of {expected}" for name, expected, actual in differences if expected != actual), ""
    )


def _filled(fills: Iterable[FillRow]) -> Decimal:
    return sum((abs(fill.quantity) for fill in fills), Decimal(0))
