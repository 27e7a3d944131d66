"""The results of a run: rows of the printed table, and the content of build/demo.json. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rtx_traffic.verdict import Verdict

from .upgrades import Outcome


@dataclass(frozen=True)
class Row:
    """One figure. `good` is whether its promise was kept; None for a figure without one."""

    id: str
    what: str
    value: float
    unit: str
    good: bool | None = None


@dataclass(frozen=True)
class Result:
    """Everything that a demo measured."""

    verdict: Verdict
    outcomes: Sequence[Outcome]
    first_broken_failure: float | None = None  # Unix seconds; None when the broken version failed no request

    @property
    def kept(self) -> bool:
        """Whether every promise was kept and every cutover ended in its expected phase."""
        return self.verdict.kept and all(outcome.kept for outcome in self.outcomes)

    @property
    def findings(self) -> list[str]:
        """A sentence for each broken promise."""
        return [*(outcome.wrong for outcome in self.outcomes if outcome.wrong), *self.verdict.findings]


def table(result: Result, *, ready_s: float | None = None) -> list[Row]:
    """The figures in printing order."""
    ready = [Row("ready_s", "from `kubectl apply` to Ready", round(ready_s, 1), "s")] if ready_s is not None else []
    return [*_promises(result), *ready, *_times(result), *_latencies(result.verdict)]


def document(rows: list[Row], machine: dict[str, Any]) -> dict[str, Any]:
    """The JSON object of the benchmarks' `--json`: machine, and a row per figure of this one run."""
    figures = [{key: value for key, value in asdict(row).items() if key != "good"} | {"runs": 1} for row in rows]
    return {"machine": machine, "rows": figures}


def _promises(result: Result) -> Iterator[Row]:
    verdict = result.verdict
    yield Row("requests", "requests due", verdict.requests, "requests")
    for outcome in result.outcomes:
        step = outcome.step
        what = f"failed requests after the change to {step.version}" + (", without its own 500s" if step.broken else "")
        yield _promise(f"{step.name}_failed_requests", what, verdict.stages[step.name].failed, "requests")
    yield Row(
        "broken_version_failed_requests", "500s sent by the broken version itself",
        verdict.broken_version_failed_requests, "requests",
    )  # fmt: skip
    yield _promise(
        "failed_requests", "failed requests in total, without those 500s", verdict.failed_requests, "requests"
    )
    unrecorded = "requests due without a record, or with more than one"
    yield _promise("unrecorded_requests", unrecorded, verdict.unrecorded_requests, "requests")
    yield _promise("idle_parts", "parts of the load that sent nothing", verdict.idle_parts, "parts")
    yield _promise("load_crashes", "load generator tasks that crashed", verdict.load_crashes, "tasks")
    yield Row("orders_sent", "orders sent", verdict.orders_sent, "orders")
    yield Row("orders_acknowledged", "orders acknowledged", verdict.orders_acknowledged, "orders")
    yield Row("orders_in_database", "orders in the database", verdict.orders_in_database, "orders")
    yield _promise("orders_lost", "acknowledged orders lost", verdict.orders_lost, "orders")
    yield _promise("orders_doubled", "orders executed twice", verdict.orders_doubled, "orders")
    yield _promise(
        "orders_altered", "orders in the database that differ from what was sent", verdict.orders_altered, "orders"
    )
    otherwise = "repeats answered differently from the first answer"
    yield _promise("repeats_answered_otherwise", otherwise, verdict.repeats_answered_otherwise, "answers")
    wrong = "accounts that differ from the sum of their fills and entries"
    yield _promise("accounts_wrong", wrong, verdict.accounts_wrong, "accounts")
    unbalanced = "accounts of the whole database whose balance is not the sum of their ledger"
    yield _promise("accounts_unbalanced", unbalanced, verdict.accounts_unbalanced, "accounts")
    yield _promise("fenced_executions", "fills by a colour that the fence excluded", verdict.fenced_executions, "fills")
    yield Row("websocket_events", "WebSocket events received", verdict.websocket_events, "events")
    yield Row("websocket_reconnects", "WebSocket reconnects", verdict.websocket_reconnects, "connections")
    yield _promise("websocket_gaps", "WebSocket events missed, doubled or late", verdict.websocket_gaps, "events")


def _times(result: Result) -> Iterator[Row]:
    outcomes = {outcome.step.name: outcome for outcome in result.outcomes}
    if upgrade := outcomes.get("upgrade"):
        what = f"upgrade to {upgrade.step.version}, from the change of spec to {upgrade.cutover.phase}"
        yield Row("upgrade_s", what, round(upgrade.took_s, 1), "s", good=upgrade.kept)
        if (switch_s := upgrade.cutover.switch_s) is not None:
            yield Row("switch_s", "of that, from the fence's move to confirmed EndpointSlices", round(switch_s, 3), "s")
        for phase, seconds in upgrade.cutover.seconds.items():
            yield Row(f"phases_s.{phase}", f"of that, in {phase}", round(seconds, 1), "s")
    if rollback := outcomes.get("rollback"):
        yield from _rollback(rollback, result.first_broken_failure)
    if back := outcomes.get("back"):
        switched = back.cutover.switched_at
        if switched is not None:
            what = f"return to {back.step.version}, from the change of spec to confirmed EndpointSlices"
            yield Row("back_s", what, round(switched - back.changed_at, 1), "s", good=back.kept)


def _rollback(rollback: Outcome, first_failure: float | None) -> Iterator[Row]:
    """From the first request that the broken version failed; without any, from the fence's move to it."""
    restored, fenced = rollback.cutover.restored_at, rollback.cutover.fenced_at
    since = fenced if first_failure is None else first_failure
    if restored is not None and since is not None:
        what = "rollback, from the broken version's first 500 to the old version serving alone"
        yield Row("rollback_s", what, round(restored - since, 1), "s", good=rollback.kept)


def _latencies(verdict: Verdict) -> Iterator[Row]:
    for kind, latency in verdict.latency.items():
        yield Row(f"{kind}_p50_ms", f"{kind} latency, median", latency.p50_ms, "ms")
        yield Row(f"{kind}_p99_ms", f"{kind} latency, 99th percentile", latency.p99_ms, "ms")
        yield Row(f"{kind}_max_ms", f"{kind} latency, maximum", latency.max_ms, "ms")


def _promise(row_id: str, what: str, value: int, unit: str) -> Row:
    return Row(row_id, what, value, unit, good=value == 0)
