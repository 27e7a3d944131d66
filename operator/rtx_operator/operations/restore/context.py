"""A restore under way and all that was observed of it, as checks and actions ask for it. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import BackupPhase, Component
from rtx_operator.api.kinds import TRADING_ENGINE_BACKUP, TRADING_ENGINE_RESTORE
from rtx_operator.api.names import Names
from rtx_operator.api.status import Restore
from rtx_operator.desired.state import DesiredState
from rtx_operator.observation import Fence, Object, Observation, Owner
from rtx_operator.operations.machine import OperationInput
from rtx_operator.operations.record import time_in_phase
from rtx_operator.operations.state import PersistedState


@dataclass(frozen=True, slots=True)
class RestoreContext:
    """`now` is the one instant of this reconcile."""

    engine: TradingEngine
    desired: DesiredState
    seen: Observation
    restore: Restore
    state: PersistedState
    now: datetime

    @property
    def names(self) -> Names:
        return Names(self.engine.name)

    @property
    def owner(self) -> Owner:
        return Owner(self.engine.namespace, self.engine.name, self.engine.uid)

    @property
    def waited(self) -> timedelta:
        """How long the phase has lasted, without pauses."""
        return time_in_phase(self.restore, self.now)

    @property
    def is_withdrawn(self) -> bool:
        """Whether its TradingEngineRestore is gone."""
        asked = self.seen.child(TRADING_ENGINE_RESTORE.name, self.restore.name)
        return asked is None or asked["metadata"]["uid"] != self.restore.uid

    @property
    def answers(self) -> bool:
        """Whether the database answers."""
        return self.seen.database is not None and not self.seen.database.error

    @property
    def fence(self) -> Fence | None:
        return self.seen.database.fence if self.seen.database else None

    @property
    def known_epoch(self) -> int:
        return self.engine.status.active.epoch if self.engine.status.active else 0

    @property
    def backup(self) -> "NamedBackup | None":
        """The backup that source names, if there is a TradingEngineBackup of that name."""
        return named_backup(self.seen, self.restore.source.backup or "")

    @property
    def pods(self) -> list[Object]:
        """The database's pods that may run a process, those being deleted included."""
        return self.seen.alive(self.names.selector(Component.DATABASE))


@dataclass(frozen=True, slots=True)
class NamedBackup:
    """A TradingEngineBackup, as a restore needs it."""

    phase: str
    label: str
    folder: str

    @property
    def has_succeeded(self) -> bool:
        return self.phase == BackupPhase.SUCCEEDED


def named_backup(seen: Observation, name: str) -> NamedBackup | None:
    """The TradingEngineBackup of that name; None when there is none."""
    found = seen.child(TRADING_ENGINE_BACKUP.name, name)
    if found is None:
        return None
    status: dict[str, Any] = found.get("status") or {}
    made: dict[str, Any] = status.get("made") or {}
    return NamedBackup(str(status.get("phase", "")), str(made.get("label", "")), str(made.get("folder", "")))


def context_of(state: PersistedState, given: OperationInput) -> RestoreContext:
    """The context of the restore in `state`; raises ValueError when there is none."""
    if state.restore is None:
        raise ValueError("no restore is recorded")
    return RestoreContext(given.engine, given.desired, given.seen, state.restore, state, given.now)
