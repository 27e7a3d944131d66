"""Remembers who changes the operator's fields again and again, and when to restore them the next time.

Two managers that both force one field alternate without end, and no conflict stops either. So the pause between two
repairs of an object grows, and status names the object and the other manager. What traffic depends on is restored at
once, however often: a wrong selector or policy costs requests, a wrong template of an engine pod executes orders.
"""

import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

from rtx_operator.cluster.client import FIELD_MANAGER, Object
from rtx_operator.results import Dispute

FREE_REPAIRS = 3  # without a pause: a person who edits by mistake
FIRST_PAUSE_SECONDS = 5.0  # after these; then twice as long each time
MAX_PAUSE_SECONDS = 300.0
QUIET_SECONDS = 2 * MAX_PAUSE_SECONDS  # without another repair, after which a dispute is over
RESTORED_AT_ONCE = frozenset({"Service", "NetworkPolicy", "Deployment"})

Child = tuple[str, str]  # (kind, name)


@dataclass(slots=True)
class _Repairs:
    """The repairs of one object."""

    count: int
    last: float  # on the clock
    managers: tuple[str, ...]  # that had changed it; empty: unknown


@dataclass(slots=True)
class Disputes:
    """The repairs of every engine; `scope` is its (namespace, name)."""

    clock: Callable[[], float] = time.monotonic
    started: float = field(init=False)  # on the clock
    _repairs: dict[Hashable, dict[Child, _Repairs]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.started = self.clock()

    def forget(self, scope: Hashable) -> None:
        """Drop the repairs of a deleted engine."""
        self._repairs.pop(scope, None)

    def wait_seconds(self, scope: Hashable, child: Child) -> float:
        """Seconds until the object may be repaired; 0 when it may be now."""
        repairs = self._recent(scope).get(child)
        return max(0.0, repairs.last + _pause(child, repairs.count) - self.clock()) if repairs else 0.0

    def repaired(self, scope: Hashable, child: Child, managers: Iterable[str]) -> None:
        """The object was restored after `managers` had changed it."""
        recent = self._recent(scope)
        before = recent.get(child)
        known = tuple(managers) or (before.managers if before else ())
        recent[child] = _Repairs(before.count + 1 if before else 1, self.clock(), known)
        self._repairs[scope] = recent

    def of(self, scope: Hashable) -> tuple[Dispute, ...] | None:
        """The disputes about objects of an engine, in the order of their names.

        None while this process is too young to know that a dispute which an earlier one told of is over.
        """
        found = tuple(
            Dispute(kind, name, repairs.managers, self.wait_seconds(scope, (kind, name)))
            for (kind, name), repairs in sorted(self._recent(scope).items())
            if repairs.count >= FREE_REPAIRS
        )
        return found or (() if self.clock() - self.started >= QUIET_SECONDS else None)

    def _recent(self, scope: Hashable) -> dict[Child, _Repairs]:
        """The repairs of objects that were repaired within QUIET_SECONDS."""
        since = self.clock() - QUIET_SECONDS
        return {child: repairs for child, repairs in self._repairs.get(scope, {}).items() if repairs.last > since}


def _pause(child: Child, count: int) -> float:
    if child[0] in RESTORED_AT_ONCE or count < FREE_REPAIRS:
        return 0.0
    return min(MAX_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(count - FREE_REPAIRS, 30))


def managers_overruled(live: Object, restored: Object) -> list[str]:
    """The managers from which the restoring apply took fields; empty when they had only removed some."""
    after = {_identity(entry): entry.get("fieldsV1") for entry in _others(restored)}
    return sorted({entry["manager"] for entry in _others(live) if after.get(_identity(entry)) != entry.get("fieldsV1")})


def _others(live: Object) -> list[Object]:
    """The entries of other managers for the object itself, without those for its status."""
    entries = live["metadata"].get("managedFields") or []
    return [one for one in entries if one.get("manager") != FIELD_MANAGER and not one.get("subresource")]


def _identity(entry: Object) -> tuple[str, str, str]:
    return entry.get("manager", ""), entry.get("operation", ""), entry.get("apiVersion", "")
