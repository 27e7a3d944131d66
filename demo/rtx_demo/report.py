"""What a run comes to: rows for the table that is shown, and the object that build/demo.json holds. Pure."""

from dataclasses import asdict, dataclass
from typing import Any

from rtx_traffic.verdict import Verdict


@dataclass(frozen=True)
class Row:
    """A figure: `good` is None where there is nothing to promise."""

    id: str
    what: str
    value: float
    unit: str
    good: bool | None = None


def table(verdict: Verdict, *, ready_s: float) -> list[Row]:
    """The figures in the order in which they are shown."""
    rows = [
        Row("ready_s", "from `kubectl apply` to Ready", round(ready_s, 1), "s"),
        Row("requests", "requests that were due", verdict.requests, "requests"),
        _promise("failed_requests", "of them failed", verdict.failed_requests, "requests"),
        Row("orders_sent", "orders sent", verdict.orders_sent, "orders"),
        Row("orders_acknowledged", "orders acknowledged", verdict.orders_acknowledged, "orders"),
        Row("orders_in_database", "orders in the database", verdict.orders_in_database, "orders"),
        _promise("orders_lost", "acknowledged orders lost", verdict.orders_lost, "orders"),
        _promise("orders_doubled", "orders executed twice", verdict.orders_doubled, "orders"),
        Row("websocket_events", "WebSocket events received", verdict.websocket_events, "events"),
        _promise("websocket_gaps", "WebSocket events missed, doubled or late", verdict.websocket_gaps, "events"),
    ]
    for kind, latency in verdict.latency.items():
        rows.append(Row(f"{kind}_p50_ms", f"{kind}: half are answered within", latency.p50_ms, "ms"))
        rows.append(Row(f"{kind}_p99_ms", f"{kind}: 99 % are answered within", latency.p99_ms, "ms"))
    return rows


def document(rows: list[Row], machine: dict[str, Any]) -> dict[str, Any]:
    """The object that benchmarks print too: machine, and a row per figure of this one run."""
    figures = [{key: value for key, value in asdict(row).items() if key != "good"} | {"runs": 1} for row in rows]
    return {"machine": machine, "rows": figures}


def _promise(row_id: str, what: str, value: int, unit: str) -> Row:
    return Row(row_id, what, value, unit, good=value == 0)
