"""A cutover parsed from `status.cutover`, and its changes over time. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

SUCCEEDED, ROLLED_BACK, FAILED = "Succeeded", "RolledBack", "Failed"
PHASES = (  # in the order in which a cutover passes them
    "Pending", "BackingUp", "Migrating", "Provisioning", "Testing", "AwaitingApproval", "Switching", "Monitoring",
    "Promoting", "RollingBack",
)  # fmt: skip
FINAL_PHASES = frozenset({SUCCEEDED, ROLLED_BACK, FAILED})


@dataclass(frozen=True)
class Cutover:
    """One cutover. Times are Unix seconds, None until the event happened."""

    id: str
    phase: str
    from_version: str
    to_version: str
    reason: str = ""
    message: str = ""
    fenced_at: float | None = None  # the fence moved to the new colour
    switched_at: float | None = None  # the live Service named only the new colour
    restored_at: float | None = None  # after a rollback the live Service named only the old colour again
    seconds: dict[str, float] = field(default_factory=dict)  # of each finished phase, in order

    @property
    def over(self) -> bool:
        return self.phase in FINAL_PHASES

    @property
    def switch_s(self) -> float | None:
        """Seconds from the fence's move until the live Service named only the new colour; None before that."""
        return None if self.fenced_at is None or self.switched_at is None else self.switched_at - self.fenced_at


def from_engine(engine: dict[str, Any]) -> Cutover | None:
    """The running or last cutover of a TradingEngine; None before the first."""
    status = engine.get("status", {}).get("cutover")
    if not status:
        return None
    return Cutover(
        id=status["id"],
        phase=status["phase"],
        from_version=status["from"]["version"],
        to_version=status["to"]["version"],
        reason=status.get("reason", ""),
        message=status.get("message", ""),
        fenced_at=_time(status.get("fencedAt")),
        switched_at=_time(status.get("switchedAt")),
        restored_at=_time(status.get("restoredAt")),
        seconds=_in_order(status.get("seconds", {})),
    )


def changes(engines: Iterable[dict[str, Any]], *, after: str) -> Iterator[Cutover]:
    """Each change of phase or message of the cutover after the one with id `after`, until it ends."""
    last: tuple[str, str] | None = None
    for engine in engines:
        cutover = from_engine(engine)
        if cutover is None or cutover.id == after:
            continue
        if last != (cutover.phase, cutover.message):
            last = cutover.phase, cutover.message
            yield cutover
        if cutover.over:
            return


def _in_order(seconds: dict[str, float]) -> dict[str, float]:
    """Sorted by phase: the API server does not keep a map's order. Unknown phases come last."""
    return dict(sorted(seconds.items(), key=lambda item: PHASES.index(item[0]) if item[0] in PHASES else len(PHASES)))


def _time(text: str | None) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None
