"""A cutover as `status.cutover` tells it, and the same from one look to the next. Pure."""

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
    """Times are Unix seconds, None while it has not come to that."""

    id: str
    phase: str
    from_version: str
    to_version: str
    reason: str = ""
    message: str = ""
    fenced_at: float | None = None  # the database let the new colour execute
    switched_at: float | None = None  # the live Service named only the new colour
    restored_at: float | None = None  # it named only the old colour again
    seconds: dict[str, float] = field(default_factory=dict)  # of each phase that is over, in their order

    @property
    def over(self) -> bool:
        return self.phase in FINAL_PHASES

    @property
    def switch_s(self) -> float | None:
        """From the fence's move until the live Service named only the new colour."""
        return None if self.fenced_at is None or self.switched_at is None else self.switched_at - self.fenced_at


def of(engine: dict[str, Any]) -> Cutover | None:
    """The cutover of a TradingEngine, under way or the last one; None when there was none yet."""
    told = engine.get("status", {}).get("cutover")
    if not told:
        return None
    return Cutover(
        id=told["id"],
        phase=told["phase"],
        from_version=told["from"]["version"],
        to_version=told["to"]["version"],
        reason=told.get("reason", ""),
        message=told.get("message", ""),
        fenced_at=_time(told.get("fencedAt")),
        switched_at=_time(told.get("switchedAt")),
        restored_at=_time(told.get("restoredAt")),
        seconds=_in_order(told.get("seconds", {})),
    )


def changes(engines: Iterable[dict[str, Any]], *, after: str) -> Iterator[Cutover]:
    """Each phase and message of the cutover that follows the one with id `after`, until that is over."""
    last: tuple[str, str] | None = None
    for engine in engines:
        cutover = of(engine)
        if cutover is None or cutover.id == after:
            continue
        if last != (cutover.phase, cutover.message):
            last = cutover.phase, cutover.message
            yield cutover
        if cutover.over:
            return


def _in_order(seconds: dict[str, float]) -> dict[str, float]:
    """A stored map has no order of its own; a phase that we do not know comes last."""
    return dict(sorted(seconds.items(), key=lambda item: PHASES.index(item[0]) if item[0] in PHASES else len(PHASES)))


def _time(text: str | None) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None
