"""A TradingEngine as its commands see it: what the API server has of it, read without judging it.

Not the operator's models: they take a second to import, and refuse what a later release wrote.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from rtx_operator.api.enums import (
    ConditionStatus,
    ConditionType,
    CutoverPhase,
    MaintenancePhase,
    OperationName,
    RetirementPhase,
)

Object = dict[str, Any]

_PHASES: Mapping[OperationName, tuple[CutoverPhase | MaintenancePhase | RetirementPhase, ...]] = {
    OperationName.CUTOVER: tuple(CutoverPhase),
    OperationName.MAINTENANCE: tuple(MaintenancePhase),
    OperationName.RETIREMENT: tuple(RetirementPhase),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition of status."""

    type: str
    status: str
    reason: str
    message: str
    since: datetime | None
    generation: int  # of the spec that it speaks of

    @property
    def holds(self) -> bool:
        return self.status == ConditionStatus.TRUE


@dataclass(frozen=True, slots=True)
class Release:
    """A version in a colour."""

    colour: str
    version: str
    revision: str
    epoch: int
    image: str
    retire_after: datetime | None  # of the previous release
    message: str  # likewise: why it is kept for longer

    @classmethod
    def of(cls, written: Object | None) -> Self | None:
        if not written:
            return None
        return cls(
            colour=written.get("colour", ""),
            version=written.get("version", ""),
            revision=written.get("revision", ""),
            epoch=written.get("epoch", 0),
            image=written.get("image", ""),
            retire_after=instant(written.get("retireAfter")),
            message=written.get("message", ""),
        )


@dataclass(frozen=True, slots=True)
class Operation:
    """A cutover, maintenance or retirement: the one under way, or the last one."""

    kind: OperationName
    id: str
    phase: str
    started: datetime | None
    since: datetime | None
    deadline: datetime | None
    reason: str
    message: str
    seconds: Mapping[str, float]
    source: str  # what ran before: a version; of a maintenance its component
    target: str  # likewise: what it goes to
    source_revision: str  # of a cutover; likewise the next two
    target_revision: str
    target_colour: str
    fenced: datetime | None
    switched: datetime | None
    judged: str

    @property
    def is_over(self) -> bool:
        return any(self.phase == phase and phase.is_terminal for phase in _PHASES[self.kind])

    @property
    def title(self) -> str:
        """What it is about."""
        return self.target if self.kind is not OperationName.CUTOVER else f"{self.source} → {self.target}"

    @classmethod
    def of(cls, kind: OperationName, written: Object | None) -> Self | None:
        if not written:
            return None
        is_cutover = kind is OperationName.CUTOVER
        to = (written.get("to") or {}) if is_cutover else {}  # of a maintenance it is a hash
        goal = {
            OperationName.CUTOVER: lambda: (written.get("from", {}).get("version", ""), to.get("version", "")),
            OperationName.MAINTENANCE: lambda: (written.get("component", ""),) * 2,
            OperationName.RETIREMENT: lambda: (written.get("release", {}).get("version", ""),) * 2,
        }[kind]()
        return cls(
            kind=kind,
            id=written.get("id", ""),
            phase=written.get("phase", ""),
            started=instant(written.get("startedAt")),
            since=instant(written.get("since")),
            deadline=instant(written.get("deadline")),
            reason=written.get("reason", ""),
            message=written.get("message", ""),
            seconds=in_order(kind, written.get("seconds") or {}),
            source=goal[0],
            target=goal[1],
            source_revision=written["from"].get("revision", "") if is_cutover and "from" in written else "",
            target_revision=to.get("revision", ""),
            target_colour=to.get("colour", ""),
            fenced=instant(written.get("fencedAt")),
            switched=instant(written.get("switchedAt")),
            judged=written.get("judged") or "",
        )


@dataclass(frozen=True, slots=True)
class PastCutover:
    """A cutover of status.history."""

    id: str
    source: str
    target: str
    result: str
    started: datetime | None
    ended: datetime | None
    switch_seconds: float | None  # from the fence's move until only new pods had the traffic
    judged: str
    requests: int | None
    reason: str
    message: str
    seconds: Mapping[str, float]

    @classmethod
    def of(cls, written: Object) -> Self:
        fenced, switched = instant(written.get("fencedAt")), instant(written.get("switchedAt"))
        return cls(
            id=written.get("id", ""),
            source=written.get("fromVersion", ""),
            target=written.get("toVersion", ""),
            result=written.get("result", ""),
            started=instant(written.get("startedAt")),
            ended=instant(written.get("endedAt")),
            switch_seconds=(switched - fenced).total_seconds() if fenced and switched else None,
            judged=written.get("judged") or "",
            requests=written.get("requests"),
            reason=written.get("reason", ""),
            message=written.get("message", ""),
            seconds=in_order(OperationName.CUTOVER, written.get("seconds") or {}),
        )


@dataclass(frozen=True, slots=True)
class Engine:
    """A TradingEngine."""

    namespace: str
    name: str
    generation: int
    observed_generation: int
    created: datetime | None
    is_deleted: bool
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    spec: Object
    status: Object
    conditions: Mapping[str, Condition]
    active: Release | None
    previous: Release | None
    cutover: Operation | None
    maintenance: Operation | None
    retirement: Operation | None
    history: tuple[PastCutover, ...]

    @classmethod
    def of(cls, manifest: Object) -> Self:
        meta, status = manifest["metadata"], manifest.get("status") or {}
        return cls(
            namespace=meta.get("namespace", ""),
            name=meta["name"],
            generation=meta.get("generation", 0),
            observed_generation=status.get("observedGeneration", 0),
            created=instant(meta.get("creationTimestamp")),
            is_deleted="deletionTimestamp" in meta,
            labels=meta.get("labels") or {},
            annotations=meta.get("annotations") or {},
            spec=manifest.get("spec") or {},
            status=status,
            conditions={one["type"]: _condition(one) for one in status.get("conditions") or []},
            active=Release.of(status.get("active")),
            previous=Release.of(status.get("previous")),
            cutover=Operation.of(OperationName.CUTOVER, status.get("cutover")),
            maintenance=Operation.of(OperationName.MAINTENANCE, status.get("maintenance")),
            retirement=Operation.of(OperationName.RETIREMENT, status.get("retirement")),
            history=tuple(PastCutover.of(one) for one in status.get("history") or []),
        )

    @property
    def version(self) -> str:
        """The version that spec asks for."""
        return str(self.spec.get("version", ""))

    @property
    def paused(self) -> bool:
        return bool(self.spec.get("paused"))

    @property
    def pods(self) -> str:
        return str(self.status.get("pods") or "")

    @property
    def rejected(self) -> Mapping[str, str]:
        """The revision that was rolled back: version, reason and message; empty when there is none."""
        return self.status.get("rejected") or {}

    def condition(self, kind: ConditionType) -> Condition | None:
        return self.conditions.get(kind.value)

    def current(self, kind: ConditionType) -> Condition | None:
        """The condition, if it speaks of the newest spec."""
        found = self.condition(kind)
        return found if found and found.generation >= self.generation else None

    def holds(self, kind: ConditionType) -> bool:
        """Whether it is True of the newest spec."""
        found = self.current(kind)
        return found is not None and found.holds

    @property
    def operations(self) -> Iterator[Operation]:
        """Those that are recorded, under way or over."""
        yield from filter(None, (self.cutover, self.maintenance, self.retirement))

    @property
    def under_way(self) -> tuple[Operation, ...]:
        return tuple(one for one in self.operations if not one.is_over)


def _condition(written: Object) -> Condition:
    return Condition(
        type=written["type"],
        status=written.get("status", ""),
        reason=written.get("reason", ""),
        message=written.get("message", ""),
        since=instant(written.get("lastTransitionTime")),
        generation=written.get("observedGeneration", 0),
    )


def in_order(kind: OperationName, seconds: Mapping[str, float]) -> dict[str, float]:
    """By phase, in the order in which they are passed: the API server sorts them by name."""
    order = {phase.value: place for place, phase in enumerate(_PHASES[kind])}
    return dict(sorted(seconds.items(), key=lambda one: order.get(one[0], len(order))))


def instant(text: str | None) -> datetime | None:
    """A time as the API server writes it; None when there is none, or a later release writes it otherwise."""
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
