"""Turns what a status newly says of a cutover into metrics. Pure but for the metrics themselves."""

from datetime import timedelta

from rtx_operator import metrics
from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import CutoverPhase as Phase
from rtx_operator.api.status import HistoryEntry


def cutover(before: TradingEngine, after: TradingEngine) -> None:
    """Count what happened between two statuses of one engine, the second of which has been written."""
    was, now = before.status.cutover, after.status.cutover
    if now is None:
        return
    for phase in Phase:
        metrics.CUTOVER_PHASE.labels(after.namespace, after.name, phase).set(now.phase is phase)
    known = was.seconds if was and was.id == now.id else {}
    for phase, seconds in now.seconds.items():
        if phase not in known:
            metrics.CUTOVER_PHASE_SECONDS.labels(phase).observe(seconds)
    if now.phase.is_terminal and not (was and was.id == now.id and was.phase.is_terminal):
        metrics.CUTOVERS.labels(now.phase).inc()
        if after.status.history:
            _over(after.status.history[0])


def _over(past: HistoryEntry) -> None:
    if past.fenced_at and past.switched_at:
        metrics.CUTOVER_SWITCH_SECONDS.observe((past.switched_at - past.fenced_at).total_seconds())
    if past.restored_at and Phase.ROLLING_BACK in past.seconds:
        began = past.ended_at - timedelta(seconds=past.seconds[Phase.ROLLING_BACK])
        metrics.CUTOVER_ROLLBACK_SECONDS.observe((past.restored_at - began).total_seconds())


def forget(namespace: str, name: str) -> None:
    """An engine that is gone has no phase."""
    for phase in Phase:
        metrics.CUTOVER_PHASE.remove(namespace, name, phase)
