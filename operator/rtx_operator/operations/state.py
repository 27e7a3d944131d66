"""The part of an engine's status that decisions rest on. Pure; frozen: each change gives the next state."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self

from rtx_operator.api.enums import Component, MaintenancePhase, OperationName, RetirementPhase
from rtx_operator.api.status import (
    Active,
    Cutover,
    EarlierData,
    HistoryEntry,
    Maintenance,
    Previous,
    Record,
    Rejected,
    Restore,
    Retirement,
    Server,
    TradingEngineStatus,
)


@dataclass(frozen=True, slots=True)
class PersistedState:
    """What the operator must remember of an engine's colours, servers and operations."""

    active: Active | None = None
    restore: Restore | None = None
    cutover: Cutover | None = None
    previous: Previous | None = None
    retirement: Retirement | None = None
    maintenance: Maintenance | None = None
    servers: Mapping[Component, Server] = field(default_factory=dict)  # database and cache, once they are recorded
    rejected: Rejected | None = None
    history: tuple[HistoryEntry, ...] = ()
    paused_since: datetime | None = None
    earlier_data: EarlierData | None = None  # until the active release's migrations have run again (ADR 0099)

    @classmethod
    def of(cls, status: TradingEngineStatus) -> Self:
        return cls(
            active=status.active,
            restore=status.restore,
            cutover=status.cutover,
            previous=status.previous,
            retirement=status.retirement,
            maintenance=status.maintenance,
            servers={
                component: server
                for component, server in ((Component.DATABASE, status.database), (Component.CACHE, status.cache))
                if server
            },
            rejected=status.rejected,
            history=tuple(status.history),
            paused_since=status.paused_since,
            earlier_data=status.earlier_data,
        )

    @property
    def restore_under_way(self) -> Restore | None:
        return self.restore if self.restore and not self.restore.phase.is_terminal else None

    @property
    def cutover_under_way(self) -> Cutover | None:
        return self.cutover if self.cutover and not self.cutover.phase.is_terminal else None

    @property
    def retirement_under_way(self) -> Retirement | None:
        return self.retirement if self.retirement and not self.retirement.phase.is_terminal else None

    @property
    def maintenance_under_way(self) -> Maintenance | None:
        return self.maintenance if self.maintenance and not self.maintenance.phase.is_terminal else None

    @property
    def maintains_cache(self) -> bool:
        """Whether a maintenance of the cache is under way, for which no other operation waits."""
        maintenance = self.maintenance_under_way
        return maintenance is not None and maintenance.component is Component.CACHE

    @property
    def replaces_database(self) -> bool:
        """Whether a maintenance takes the database's pod away, or has just brought another one."""
        maintenance = self.maintenance_under_way
        return maintenance is not None and maintenance.phase.replaces_pod and not self.maintains_cache

    @property
    def fences_for_restore(self) -> bool:
        """Whether a restore has the fence name nobody."""
        restore = self.restore_under_way
        return restore is not None and restore.phase.is_fenced

    @property
    def waits_for_slot(self) -> bool:
        return self.maintenance is not None and self.maintenance.phase is MaintenancePhase.PENDING

    @property
    def has_slot(self) -> bool:
        """Whether the engine has one of the fleet's slots for maintenance."""
        return self.maintenance is not None and self.maintenance.phase.has_slot

    @property
    def has_cutover_slot(self) -> bool:
        """Whether the engine has one of the fleet's slots for cutovers."""
        return self.cutover is not None and self.cutover.phase.has_slot

    @property
    def waits_for_time(self) -> bool:
        """Whether an operation begins by time alone: a retirement of what is kept, or of what could not be retired."""
        has_failed = self.retirement is not None and self.retirement.phase is RetirementPhase.FAILED
        return self.previous is not None or has_failed

    def under_way(self, operation: OperationName) -> Record | None:
        """The record of the operation, unless it is over or never was."""
        match operation:
            case OperationName.RESTORE:
                return self.restore_under_way
            case OperationName.CUTOVER:
                return self.cutover_under_way
            case OperationName.MAINTENANCE:
                return self.maintenance_under_way
            case OperationName.RETIREMENT:
                return self.retirement_under_way

    def asks_for_cutover(self, wanted: str, retry: str) -> bool:
        """Whether spec asks, by the `wanted` revision, for another one than the active one.

        Not for the one that was rejected, until the retry annotation has another value than `retry` had then.
        """
        rejected = self.rejected
        is_barred = rejected is not None and (rejected.revision, rejected.retry) == (wanted, retry)
        return self.active is not None and wanted != self.active.revision and not is_barred

    def with_record(self, record: Record) -> "PersistedState":
        """The state with this record of its operation."""
        match record:
            case Restore():
                return replace(self, restore=record)
            case Cutover():
                return replace(self, cutover=record)
            case Maintenance():
                return replace(self, maintenance=record)
            case Retirement():
                return replace(self, retirement=record)

    def with_server(self, component: Component, server: Server) -> "PersistedState":
        return replace(self, servers={**self.servers, component: server})

    def with_active(self, active: Active) -> "PersistedState":
        return replace(self, active=active)

    def says_more_than(self, other: "PersistedState") -> bool:
        """Whether it differs in anything but how servers started, and what operations or the kept release wait for."""
        return self._without_messages() != other._without_messages()  # noqa: SLF001 - the same class

    def _without_messages(self) -> "PersistedState":
        quiet = {"message": ""}
        return replace(
            self,
            restore=self.restore and self.restore.model_copy(update=quiet),
            cutover=self.cutover and self.cutover.model_copy(update=quiet),
            retirement=self.retirement and self.retirement.model_copy(update=quiet),
            maintenance=self.maintenance and self.maintenance.model_copy(update=quiet),
            previous=self.previous and self.previous.model_copy(update=quiet),
            # What is desired follows from the start itself, also before status has it.
            servers={
                name: server.model_copy(update={"started": None, "standbys": []})
                for name, server in self.servers.items()
            },
        )
