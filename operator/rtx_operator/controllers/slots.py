"""The fleet's slots for maintenance: at most MAX_MAINTENANCE engines at a time (ADR 0034).

A slot is what status says: an engine has one while its maintenance is under way, past Pending. This process knows the
statuses that it wrote; of engines that it has not reconciled yet it reads them once. Only the leader asks.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rtx_operator.api.enums import MaintenancePhase


def has_slot(status: Mapping[str, Any]) -> bool:
    """Whether a stored status holds a slot. A phase of a later operator's does: its pod may be away."""
    phase = (status.get("maintenance") or {}).get("phase", "")
    return bool(phase) and (phase not in set(MaintenancePhase) or MaintenancePhase(phase).has_slot)


@dataclass(slots=True)
class Slots:
    """Which engines have a slot. No method awaits, so that two reconciles never get the same one."""

    limit: int
    is_loaded: bool = False
    _has_slot: dict[Hashable, bool] = field(default_factory=dict)  # of each engine that is known

    def load(self, has_slot: Mapping[Hashable, bool]) -> None:
        """What status says of all engines; it may be older than what was noted of one meanwhile."""
        self._has_slot = {**has_slot, **self._has_slot}
        self.is_loaded = True

    def note(self, engine: Hashable, *, has_slot: bool) -> None:
        """What the engine's status says, or is about to say."""
        self._has_slot[engine] = has_slot

    def may_take(self, engine: Hashable) -> bool:
        """Whether the engine has a slot, or would get one. False until all engines are known."""
        taken = sum(self._has_slot.values())
        return self.is_loaded and (self._has_slot.get(engine, False) or taken < self.limit)

    def forget(self, engine: Hashable) -> None:
        """The engine is gone."""
        self._has_slot.pop(engine, None)
