"""The ledger against the database: what failed, what was lost, what was doubled, what a WebSocket missed. Pure.

Acknowledged means answered with 200 or 201 to the client that keeps the ledger; only those orders are promised.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

import msgspec

from . import fenced, streams
from .ledger import Kind, Ledger, Order, OrderAnswer, Request, SocketEvent, SocketOpened
from .rows import Database, EventRow, FillRow, OrderRow
from .stages import Count, Stage, counts, explained

FINDINGS_KEPT = 20


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds from when a request was due to its answer."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class Verdict(msgspec.Struct, frozen=True):
    """The figures of a run. `findings` names the first offenders, a sentence each."""

    requests: int
    failed_requests: int  # but for those below
    broken_version_failed_requests: int  # answered with 5xx by a version that is broken on purpose, while on trial
    failures: dict[str, int]  # reasons of the former
    orders_sent: int
    orders_acknowledged: int
    orders_in_database: int
    orders_lost: int
    orders_doubled: int
    fenced_executions: int
    websocket_events: int
    websocket_reconnects: int
    websocket_gaps: int
    websocket_late: int  # of the gaps: events that came, but later than EVENT_DEADLINE
    latency: dict[str, Latency]
    stages: dict[str, Count]
    findings: tuple[str, ...]

    @property
    def kept(self) -> bool:
        """Whether every promise was kept."""
        broken = (
            self.failed_requests,
            self.orders_lost,
            self.orders_doubled,
            self.fenced_executions,
            self.websocket_gaps,
        )
        return not any(broken)


def judge(ledger: Ledger, database: Database, stages: Sequence[Stage] = ()) -> Verdict:
    """Compare a whole run with the database as it was after it."""
    requests = list(ledger.requests())
    excused = {id(request) for request in requests if request.failure and explained(request, stages)}
    failed = [request for request in requests if request.failure and id(request) not in excused]
    lost = list(_lost(ledger, database))
    doubled = list(_doubled(ledger, database))
    fence_broken = list(fenced.executions(database))
    missed, late = list(streams.missed(ledger, database)), list(streams.late(ledger))
    opened = [record for record in ledger.records if isinstance(record, SocketOpened)]
    return Verdict(
        requests=len(requests),
        failed_requests=len(failed),
        broken_version_failed_requests=len(excused),
        failures=dict(Counter(_reason(request) for request in failed).most_common()),
        orders_sent=len(
            {request.order.client_order_id for request in requests if request.order and request.sent is not None}
        ),
        orders_acknowledged=len({order.client_order_id for _, order, _ in ledger.acknowledged()}),
        orders_in_database=len(database.orders),
        orders_lost=len(lost),
        orders_doubled=len(doubled),
        fenced_executions=len(fence_broken),
        websocket_events=sum(isinstance(record, SocketEvent) for record in ledger.records),
        websocket_reconnects=sum(record.since is not None for record in opened),
        websocket_gaps=len(missed) + len(late),
        websocket_late=len(late),
        latency={kind.value: _latency(requests, kind) for kind in Kind if any(_answered(requests, kind))},
        stages=counts(ledger, stages),
        findings=tuple([*lost, *doubled, *fence_broken, *missed, *late, *_failures_told(failed)][:FINDINGS_KEPT]),
    )


def _lost(ledger: Ledger, database: Database) -> Iterator[str]:
    """Acknowledged orders that the database does not hold with the values asked for and answered."""
    orders = {row.client_order_id: row for row in database.orders}
    fills = _fills_by_order(database)
    events = {row.client_order_id: row for row in database.events}
    firsts = {order.client_order_id: (order, answer) for _, order, answer in reversed(list(ledger.acknowledged()))}
    for client_order_id, (order, answer) in firsts.items():
        row = orders.get(client_order_id)
        if row is None:
            yield f"Order {client_order_id} was acknowledged and is not in the database."
        elif difference := _difference(order, answer, row, fills[row.order_id], events.get(client_order_id)):
            yield f"Order {client_order_id} was acknowledged, but the database holds {difference}."


def _difference(order: Order, answer: OrderAnswer, row: OrderRow, fills: list[FillRow], event: EventRow | None) -> str:
    """The first value in which the database differs from what was asked and answered; empty when none does."""
    if not fills:
        return "no fill of it"
    if event is None:
        return "no event of it"
    asked = Decimal(order.quantity)
    filled = min(_filled(fills), asked)  # more than was asked for is doubled, not lost
    expected = (
        ("order_id", answer.order_id, row.order_id),
        ("account_id", order.account_id, row.account_id),
        ("symbol", order.symbol, row.symbol),
        ("side", order.side, row.side),
        ("quantity", asked, row.quantity),
        ("quantity answered", Decimal(answer.quantity), row.quantity),
        ("status", answer.status, row.status),
        ("colour", answer.colour, row.colour),
        ("filled quantity", asked, filled),
        ("direction", answer.side, "buy" if fills[0].quantity > 0 else "sell"),
        ("price", Decimal(answer.price), fills[0].price),
        ("epoch", answer.epoch, fills[0].epoch),
        ("sequence", answer.sequence, event.sequence),
    )
    return next((f"{name} {held} instead of {told}" for name, told, held in expected if told != held), "")


def _doubled(ledger: Ledger, database: Database) -> Iterator[str]:
    """Orders executed more than once, by any of the signs that this would leave."""
    for client_order_id, times in Counter(row.client_order_id for row in database.orders).items():
        if times > 1:
            yield f"Client order id {client_order_id} stands for {times} orders in the database."
    fills = _fills_by_order(database)
    for row in database.orders:
        if (filled := _filled(fills[row.order_id])) > row.quantity:
            yield f"Order {row.client_order_id} asked for {row.quantity} and was filled {filled}."
    answers: dict[str, set[str]] = defaultdict(set)
    for _, order, answer in ledger.acknowledged():
        answers[order.client_order_id].add(answer.order_id)
    for client_order_id, order_ids in answers.items():
        if len(order_ids) > 1:
            yield f"Client order id {client_order_id} was answered as {len(order_ids)} different orders."
    for position in database.positions:
        if position.quantity != position.fills:
            yield (
                f"Account {position.account_id} holds {position.quantity} {position.symbol}, "
                f"but its fills add up to {position.fills}."
            )


def _fills_by_order(database: Database) -> defaultdict[str, list[FillRow]]:
    fills: defaultdict[str, list[FillRow]] = defaultdict(list)
    for row in database.fills:
        fills[row.order_id].append(row)
    return fills


def _filled(fills: list[FillRow]) -> Decimal:
    return abs(sum((fill.quantity for fill in fills), Decimal(0)))


def _reason(request: Request) -> str:
    return f"{request.failure}: {request.detail}" if request.detail else str(request.failure)


def _failures_told(failed: list[Request]) -> Iterator[str]:
    """For each way to fail, how often that was and where it was first; the most frequent first."""
    ways: dict[tuple[str, str], list[Request]] = defaultdict(list)
    for request in failed:
        ways[_reason(request), request.version].append(request)
    for (reason, version), requests in sorted(ways.items(), key=lambda way: -len(way[1])):
        by = f" by version {version}" if version else ""
        first = min(requests, key=lambda request: request.ended)
        where = f"{first.path} on a {first.lane} connection at {first.ended:.1f} s"
        yield f"{len(requests)} failed{by} with {reason}; the first was {where}."


def _answered(requests: Iterable[Request], kind: Kind) -> Iterator[float]:
    return (request.ended - request.due for request in requests if request.kind is kind and not request.failure)


def _latency(requests: Sequence[Request], kind: Kind) -> Latency:
    seconds = sorted(_answered(requests, kind))

    def at(quantile: float) -> float:
        return round(seconds[min(int(len(seconds) * quantile), len(seconds) - 1)] * 1000, 1)

    return Latency(p50_ms=at(0.50), p95_ms=at(0.95), p99_ms=at(0.99), max_ms=at(1.0))
