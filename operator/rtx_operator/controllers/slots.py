"""The fleet's slots for one kind of operation: at most so many engines run it at a time (ADR 0034, ADR 0037).

A slot is what status says: an engine has one while its operation is under way, past Pending, and not while it is being
deleted. This process knows the statuses that it wrote; of engines that it has not reconciled yet it reads them once.
Only the leader asks.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from rtx_operator.api.enums import CutoverPhase, MaintenancePhase

Engine = TypeVar("Engine", bound=Hashable)


def has_slot(manifest: Mapping[str, Any]) -> bool:
    """Whether a stored engine holds a slot for maintenance. A phase of a later operator's does: its pod may be away."""
    phase = _phase(manifest, "maintenance")
    return bool(phase) and (phase not in set(MaintenancePhase) or MaintenancePhase(phase).has_slot)


def has_cutover_slot(manifest: Mapping[str, Any]) -> bool:
    """Whether a stored engine holds a slot for cutovers. A phase of a later operator's does."""
    phase = _phase(manifest, "cutover")
    return bool(phase) and (phase not in set(CutoverPhase) or CutoverPhase(phase).has_slot)


def _phase(manifest: Mapping[str, Any], operation: str) -> str:
    """The phase of the operation; empty in an engine that is being deleted, of which nothing goes on."""
    if manifest["metadata"].get("deletionTimestamp"):
        return ""
    return str(((manifest.get("status") or {}).get(operation) or {}).get("phase", ""))


@dataclass(slots=True)
class Slots(Generic[Engine]):
    """Which engines have a slot. No method awaits, so that two reconciles never get the same one.

    `wake` is called with the engine that has waited longest when a slot becomes free.
    """

    limit: int
    wake: Callable[[Engine], None] = lambda _: None
    is_loaded: bool = False
    _has_slot: dict[Engine, bool] = field(default_factory=dict)  # of each engine that is known
    _waiting: dict[Engine, None] = field(default_factory=dict)  # in the order in which they began to wait

    def load(self, has_slot: Mapping[Engine, bool]) -> None:
        """What status says of all engines; it may be older than what was noted of one meanwhile."""
        self._has_slot = {**has_slot, **self._has_slot}
        self.is_loaded = True
        waiting, self._waiting = self._waiting, {}
        for engine in waiting:
            self.wake(engine)

    def note(self, engine: Engine, *, has_slot: bool) -> None:
        """What the engine's status says, or is about to say."""
        had = self._has_slot.get(engine, False)
        self._has_slot[engine] = has_slot
        if has_slot:
            self._waiting.pop(engine, None)
        if had and not has_slot:
            self._wake_next()

    def may_take(self, engine: Engine) -> bool:
        """Whether the engine has a slot, or would get one. False until all engines are known."""
        return self.is_loaded and (self._has_slot.get(engine, False) or self.elsewhere(engine) < self.limit)

    def wait(self, engine: Engine) -> None:
        """Wake the engine when a slot is free, after those that have waited longer."""
        self._waiting.setdefault(engine)

    def elsewhere(self, engine: Engine) -> int:
        """How many other engines have a slot, of those that are known."""
        return sum(has for other, has in self._has_slot.items() if other != engine)

    def forget(self, engine: Engine) -> None:
        """The engine is gone."""
        self._waiting.pop(engine, None)
        if self._has_slot.pop(engine, False):
            self._wake_next()

    def _wake_next(self) -> None:
        for engine in list(self._waiting)[:1]:
            del self._waiting[engine]  # it waits again, at the end, if it does not take the slot
            self.wake(engine)
