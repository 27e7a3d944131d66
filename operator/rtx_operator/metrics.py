"""The operator's metrics, served on /metrics. Names follow Prometheus' conventions: base units, `_total`."""

from prometheus_client import Counter, Gauge, Histogram

RECONCILE_SECONDS = Histogram(
    "rtx_operator_reconcile_seconds",
    "Seconds that one reconcile of a TradingEngine took.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
RECONCILE_ERRORS = Counter(
    "rtx_operator_reconcile_errors_total", "Reconciles that failed; the operator retries each.", ["error"]
)
QUEUE_DEPTH = Gauge("rtx_operator_queue_depth", "TradingEngines that wait for a reconcile.")
API_REQUESTS = Counter(
    "rtx_operator_api_requests_total",
    "Requests to the API server, by verb and HTTP status; code 0 means no response.",
    ["verb", "code"],
)
LEADER = Gauge("rtx_operator_leader", "1 while this replica holds the Lease.")

FENCE_MOVE_SECONDS = Histogram(
    "rtx_operator_fence_move_seconds",
    "Seconds from the connection to the commit of a move of the execution fence; orders wait while it holds the lock.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5),
)
FENCE_HOLDERS_TERMINATED = Counter(
    "rtx_operator_fence_holders_terminated_total",
    "Sessions of engine pods that the operator terminated because they held the execution fence for too long.",
)

CUTOVER_PHASE = Gauge(
    "rtx_operator_cutover_phase",
    "1 for the current phase of a TradingEngine's cutover, 0 for the others; after its end, 1 for its last phase.",
    ["namespace", "name", "phase"],
)
CACHE_AVAILABLE = Gauge(
    "rtx_operator_cache_available",
    "1 while a TradingEngine's cache serves; without it events are late, and logins are limited by each pod.",
    ["namespace", "name"],
)
CUTOVERS = Counter("rtx_operator_cutovers_total", "Cutovers that are over, by last phase.", ["result"])
RETIREMENTS = Counter("rtx_operator_retirements_total", "Retirements that are over, by last phase.", ["result"])
MAINTENANCES = Counter(
    "rtx_operator_maintenances_total",
    "Maintenances that are over, by component and last phase.",
    ["component", "result"],
)
BACKUPS = Counter("rtx_operator_backups_total", "Backups that are over, by type and last phase.", ["type", "result"])
BACKUP_NEWEST = Gauge(
    "rtx_operator_backup_newest_timestamp_seconds",
    "When a TradingEngine's newest backup ended, in seconds since 1970.",
    ["namespace", "name"],
)
BACKUP_OLDEST = Gauge(
    "rtx_operator_backup_oldest_timestamp_seconds",
    "When a TradingEngine's oldest backup ended that is still kept, in seconds since 1970.",
    ["namespace", "name"],
)
BACKUP_COUNT = Gauge("rtx_operator_backup_count", "Backups of a TradingEngine that are kept.", ["namespace", "name"])
BACKUP_SECONDS = Histogram(
    "rtx_operator_backup_seconds",
    "Seconds that a backup took that succeeded.",
    ["type"],
    buckets=(1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 21600),
)
RESTORES = Counter("rtx_operator_restores_total", "Restores that are over, by last phase.", ["result"])
RESTORE_SECONDS = Histogram(
    "rtx_operator_restore_seconds",
    "Seconds in which no order was executed because of a restore that succeeded.",
    buckets=(15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600),
)
MAINTENANCE_RESTART_SECONDS = Histogram(
    "rtx_operator_maintenance_restart_seconds",
    "Seconds that a maintenance spent in Restarting: how long a database or cache was away.",
    ["component"],
    buckets=(1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800),
)
CUTOVER_PHASE_SECONDS = Histogram(
    "rtx_operator_cutover_phase_seconds",
    "Seconds that a cutover spent in a phase.",
    ["phase"],
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600),
)
CUTOVER_SWITCH_SECONDS = Histogram(
    "rtx_operator_cutover_switch_seconds",
    "Seconds from the move of the fence until the live Service had only pods of the new colour.",
    buckets=(0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60),
)
CUTOVER_ROLLBACK_SECONDS = Histogram(
    "rtx_operator_cutover_rollback_seconds",
    "Seconds from the start of RollingBack until the live Service had only pods of the old colour.",
    buckets=(0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60),
)
