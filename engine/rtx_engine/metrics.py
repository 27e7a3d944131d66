"""Prometheus metrics. Labels are bound once, since `.labels()` takes longer than `.inc()`.

Those of the order path are changed by the event loop's thread alone, and need no lock (counters.py).
"""

import functools

from prometheus_client import Counter, Gauge

from rtx_engine.counters import Count, Counts, Distribution, Distributions

ORDERS_PLACED = Counts("rtx_orders_placed_total", "Orders filled.", ["symbol", "type"])
ORDER_LATENCY = Distributions(
    "rtx_order_latency_seconds",
    "Time from the last byte of an order to its response, in seconds.",
    ["symbol"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
ORDER_ERRORS = Counter("rtx_order_errors_total", "Orders not filled, by reason.", ["reason"])
BATCH_SIZES = Distributions(
    "rtx_batch_size", "Orders per transaction.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
)
ACTIVE_CONNECTIONS = Gauge("rtx_active_connections", "Open WebSockets.")
SLOW_CONSUMERS = Counter("rtx_slow_consumers_total", "WebSockets dropped because the client read too slowly.")
FENCE_EPOCH = Gauge("rtx_fence_epoch", "Epoch of the execution fence, as last read by this pod.")
FORWARDED_REQUESTS = Counter(
    "rtx_forwarded_requests_total", "Requests forwarded to the colour that executes, by result.", ["result"]
)
DRAINED_CONNECTIONS = Counter("rtx_drained_connections_total", "WebSockets closed by a drain.")
JOURNAL_WEEKS = Gauge("rtx_journal_weeks", "Weeks from this one on for which the journal has partitions.")
REQUESTS = Counts("rtx_http_requests_total", "Responses, by status class.", ["status"])

REFUSALS = Counter("rtx_refusals_total", "Connections, requests and logins beyond a limit, by reason.", ["reason"])

BATCH_SIZE = BATCH_SIZES.labels()
REQUESTS_BY_CLASS = {hundred: REQUESTS.labels(f"{hundred}xx") for hundred in range(1, 6)}


@functools.cache
def orders_placed(symbol: str) -> Count:
    """The counter of market orders in `symbol`, which must be a key of SYMBOLS: each value is a time series."""
    return ORDERS_PLACED.labels(symbol, "market")


@functools.cache
def order_latency(symbol: str) -> Distribution:
    """The latency histogram of orders in `symbol`."""
    return ORDER_LATENCY.labels(symbol)


@functools.cache
def order_errors(reason: str) -> Counter:
    """The counter of orders not filled for `reason`, a member of an enum."""
    return ORDER_ERRORS.labels(reason)


@functools.cache
def refusals(reason: str) -> Counter:
    """The counter of refusals for `reason`, a member of an enum."""
    return REFUSALS.labels(reason)


@functools.cache
def forwarded_requests(result: str) -> Counter:
    """The counter of forwarded requests with `result`, a member of an enum."""
    return FORWARDED_REQUESTS.labels(result)
