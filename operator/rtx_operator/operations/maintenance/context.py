"""A maintenance under way and all that was observed of its server, as checks and actions ask for it. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import Component
from rtx_operator.api.status import Maintenance
from rtx_operator.desired.state import DesiredServer, DesiredState
from rtx_operator.observation import Fence, Object, Observation, Owner, revision_of
from rtx_operator.operations.machine import OperationInput
from rtx_operator.operations.record import time_in_phase
from rtx_operator.operations.state import PersistedState


@dataclass(frozen=True, slots=True)
class MaintenanceContext:
    """`now` is the one instant of this reconcile."""

    engine: TradingEngine
    desired: DesiredState
    seen: Observation
    maintenance: Maintenance
    now: datetime

    @property
    def component(self) -> Component:
        """Database or cache."""
        return self.maintenance.component

    @property
    def server(self) -> DesiredServer:
        return self.desired.servers[self.component]

    @property
    def waited(self) -> timedelta:
        """How long the phase has lasted, without pauses."""
        return time_in_phase(self.maintenance, self.now)

    @property
    def is_withdrawn(self) -> bool:
        """Whether something else is asked for than when it began."""
        return self.server.asked.differs_from(self.maintenance.asked)

    @property
    def asks_for_what_ran(self) -> bool:
        """Whether spec asks for the server as it was before."""
        status = self.engine.status
        made = status.cache if self.component is Component.CACHE else status.database
        return made is not None and not self.server.asked.differs_from(made.asked)

    @property
    def gives_way(self) -> bool:
        """Whether it waits for a person, and the maintenance of another server does not."""
        status, servers = self.engine.status, self.desired.servers
        others = ((status.database, servers[Component.DATABASE]), (status.cache, servers[Component.CACHE]))
        return bool(self.server.password_conflict) and any(
            made and wanted.is_due(made) and not wanted.password_conflict for made, wanted in others
        )

    @property
    def pods(self) -> list[Object]:
        """The server's pods that may run a process, those being deleted included."""
        return self.seen.alive(self.server.workload.pods)

    def pods_of(self, revision: str) -> list[Object]:
        """The server's pods of this revision that are not being deleted."""
        return [pod for pod in self.seen.pods_of(self.server.workload.pods) if revision_of(pod) == revision]

    @property
    def owner(self) -> Owner:
        return Owner(self.engine.namespace, self.engine.name, self.engine.uid)

    @property
    def fence(self) -> Fence | None:
        return self.seen.database.fence if self.seen.database else None

    @property
    def epoch_before(self) -> int:
        """The fence's epoch before the pod was replaced; the one in status where the database did not tell it."""
        if self.maintenance.epoch is not None:
            return self.maintenance.epoch
        return self.engine.status.active.epoch if self.engine.status.active else 0


def context_of(state: PersistedState, given: OperationInput) -> MaintenanceContext:
    """The context of the maintenance in `state`; raises ValueError when there is none."""
    if state.maintenance is None:
        raise ValueError("no maintenance is recorded")
    return MaintenanceContext(given.engine, given.desired, given.seen, state.maintenance, given.now)
