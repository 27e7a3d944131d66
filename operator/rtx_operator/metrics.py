"""What the operator says about itself on /metrics. Names follow Prometheus' conventions: base units, `_total`."""

from prometheus_client import Counter, Gauge, Histogram

RECONCILE_SECONDS = Histogram(
    "rtx_operator_reconcile_seconds",
    "Seconds that one reconcile of a TradingEngine took.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
RECONCILE_ERRORS = Counter(
    "rtx_operator_reconcile_errors_total", "Reconciles that failed and will be tried again.", ["error"]
)
QUEUE_DEPTH = Gauge("rtx_operator_queue_depth", "TradingEngines that wait for a reconcile.")
API_REQUESTS = Counter(
    "rtx_operator_api_requests_total",
    "Requests to the API server; code 0 means that no answer came.",
    ["verb", "code"],
)
LEADER = Gauge("rtx_operator_leader", "1 while this replica holds the Lease.")

FENCE_MOVE_SECONDS = Histogram(
    "rtx_operator_fence_move_seconds",
    "Seconds from the connection to the commit of a move of the execution fence; orders wait for its last part.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5),
)
FENCE_HOLDERS_TERMINATED = Counter(
    "rtx_operator_fence_holders_terminated_total",
    "Sessions of engine pods that were ended because they held the execution fence for too long.",
)
