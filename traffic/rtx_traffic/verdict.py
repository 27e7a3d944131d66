"""The verdict: compares ledger and database for failed requests, lost, doubled and altered orders, gaps. Pure.

An order is acknowledged when the client received 200 or 201; only acknowledged orders are promised.
Each figure has its own module, which yields a sentence for each violation.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from . import accounting, completeness, fenced, streams
from .ledger import Kind, Ledger, Request, SocketEvent, SocketOpened
from .orders import Comparison
from .rows import Database
from .stages import Count, Stage, counts, explained

MAX_FINDINGS_PER_FIGURE = 5


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds from a request's due time to its response."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class Verdict(msgspec.Struct, frozen=True):
    """The figures of a run. `findings` has a sentence for each figure's first violations."""

    requests: int
    failed_requests: int  # without those below
    broken_version_failed_requests: int  # 500s sent by a version that is broken on purpose
    failures: dict[str, int]  # failed_requests by reason
    unrecorded_requests: int  # due without a record, or with more than one
    idle_parts: int  # parts of the load that sent nothing
    load_crashes: int  # tasks of the load generator that ended with an exception
    orders_sent: int
    orders_acknowledged: int
    orders_in_database: int
    orders_lost: int
    orders_doubled: int
    orders_altered: int  # in the database, but never sent or with other values
    repeats_answered_otherwise: int  # answers that differ from the order's first one
    accounts_wrong: int  # balance or positions differ from the recomputed fills and entries
    accounts_unbalanced: int  # of the whole database: the balance is not the sum of the ledger
    fenced_executions: int
    websocket_events: int
    websocket_reconnects: int
    websocket_gaps: int
    websocket_late: int  # of the gaps: events later than streams.EVENT_DEADLINE_SECONDS
    latency: dict[str, Latency]
    stages: dict[str, Count]
    findings: tuple[str, ...]

    @property
    def kept(self) -> bool:
        """Whether every promise was kept and the load was complete."""
        broken = (
            self.failed_requests,
            self.unrecorded_requests,
            self.idle_parts,
            self.load_crashes,
            self.orders_lost,
            self.orders_doubled,
            self.orders_altered,
            self.repeats_answered_otherwise,
            self.accounts_wrong,
            self.accounts_unbalanced,
            self.fenced_executions,
            self.websocket_gaps,
        )
        return not any(broken)


def judge(ledger: Ledger, database: Database, stages: Sequence[Stage] = ()) -> Verdict:
    """The verdict over a whole run and the database's rows after it."""
    requests = list(ledger.requests())
    excused = {id(request) for request in requests if request.failure and explained(request, stages)}
    failed = [request for request in requests if request.failed and id(request) not in excused]
    orders, records = Comparison(ledger, database), completeness.records(ledger)
    lost, doubled, altered = list(orders.lost()), list(orders.doubled()), list(orders.altered())
    otherwise, accounts = list(orders.answered_otherwise()), list(accounting.wrong(ledger, database))
    unbalanced, fence_broken = list(accounting.unbalanced(database)), list(fenced.violations(database))
    gaps, late = list(streams.gaps(ledger, database)), list(streams.late(ledger))
    idle, crashed = list(completeness.idle(ledger)), list(completeness.crashed(ledger))
    opened = [record for record in ledger.records if isinstance(record, SocketOpened)]
    findings = (
        lost, doubled, altered, otherwise, accounts, unbalanced, fence_broken, gaps, late, idle,
        list(records.findings()), crashed, list(_failure_findings(failed)),
    )  # fmt: skip
    return Verdict(
        requests=len(requests),
        failed_requests=len(failed),
        broken_version_failed_requests=len(excused),
        failures=dict(Counter(_reason(request) for request in failed).most_common()),
        unrecorded_requests=records.unrecorded,
        idle_parts=len(idle),
        load_crashes=len(crashed),
        orders_sent=sum(sent.is_sent for sent in orders.sent.values()),
        orders_acknowledged=sum(bool(sent.answers) for sent in orders.sent.values()),
        orders_in_database=len(database.orders),
        orders_lost=len(lost),
        orders_doubled=len(doubled),
        orders_altered=len(altered),
        repeats_answered_otherwise=len(otherwise),
        accounts_wrong=len(accounts),
        accounts_unbalanced=len(unbalanced),
        fenced_executions=len(fence_broken),
        websocket_events=sum(isinstance(record, SocketEvent) for record in ledger.records),
        websocket_reconnects=sum(record.since is not None for record in opened),
        websocket_gaps=len(gaps) + len(late),
        websocket_late=len(late),
        latency={kind.value: _latency(requests, kind) for kind in Kind if any(_answered(requests, kind))},
        stages=counts(ledger, stages),
        findings=tuple(sentence for sentences in findings for sentence in sentences[:MAX_FINDINGS_PER_FIGURE]),
    )


def _reason(request: Request) -> str:
    return f"{request.failed}: {request.detail}" if request.detail else str(request.failed)


def _failure_findings(failed: list[Request]) -> Iterator[str]:
    """For each reason and version, the number of failures and the first one; the most frequent first."""
    ways: dict[tuple[str, str], list[Request]] = defaultdict(list)
    for request in failed:
        ways[_reason(request), request.version].append(request)
    for (reason, version), requests in sorted(ways.items(), key=lambda way: -len(way[1])):
        by = f" by version {version}" if version else ""
        first = min(requests, key=lambda request: request.ended)
        where = f"{first.path} on a {first.lane} connection at {first.ended:.1f} s"
        yield f"{len(requests)} requests failed{by} with {reason}; the first was {where}."


def _answered(requests: Iterable[Request], kind: Kind) -> Iterator[float]:
    return (request.ended - request.due for request in requests if request.kind is kind and not request.failed)


def _latency(requests: Sequence[Request], kind: Kind) -> Latency:
    seconds = sorted(_answered(requests, kind))

    def at(quantile: float) -> float:
        return round(seconds[min(int(len(seconds) * quantile), len(seconds) - 1)] * 1000, 1)

    return Latency(p50_ms=at(0.50), p95_ms=at(0.95), p99_ms=at(0.99), max_ms=at(1.0))
