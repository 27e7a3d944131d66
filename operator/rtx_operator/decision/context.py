"""An engine, its desired state and what was observed of it, as each part of the decision asks for them."""

from dataclasses import dataclass
from datetime import datetime

from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.status import Cutover
from rtx_operator.desired.state import DesiredState
from rtx_operator.observation import Fence, Observation, Owner
from rtx_operator.operations.cutover.phases import PHASES, CutoverRow
from rtx_operator.operations.state import PersistedState


@dataclass(frozen=True, slots=True)
class DecisionContext:
    """What a decision rests on."""

    engine: TradingEngine
    desired: DesiredState
    seen: Observation
    now: datetime

    @property
    def state(self) -> PersistedState:
        """What status remembers, before this decision."""
        return PersistedState.of(self.engine.status)

    @property
    def cutover(self) -> Cutover | None:
        """The cutover under way."""
        return self.state.cutover_under_way

    @property
    def cutover_row(self) -> CutoverRow | None:
        """Everything about the phase of the cutover under way."""
        return PHASES[self.cutover.phase] if self.cutover else None

    @property
    def fence(self) -> Fence | None:
        """The fence as the database reported it; None while it is unknown or not there yet."""
        return self.seen.database.fence if self.seen.database else None

    @property
    def lost_its_fence(self) -> bool:
        """Whether the database answers and has no fence, although the engine has served: it has not the data it had."""
        report = self.seen.database
        return report is not None and not report.error and report.fence is None and self.desired.has_served

    @property
    def is_blind(self) -> bool:
        """Whether the database was queried, and the fence is unknown."""
        return self.seen.database is not None and bool(self.seen.database.error)

    @property
    def owner(self) -> Owner:
        return Owner(self.engine.namespace, self.engine.name, self.engine.uid)

    @property
    def is_installed(self) -> bool:
        """The active colour was brought up once: its migration is done, its Deployment may be repaired at any time."""
        active = self.engine.status.active
        return active is not None and active.revision == self.desired.active.revision.hash

    @property
    def serves_unknown(self) -> bool:
        """Whether the engine has served, and nobody knows with which release: status was lost, and the fence is unknown
        or gone. With the fence, either the release was adopted, or the engine is being installed.
        """
        is_known = self.engine.status.active is not None or (self.fence is not None and self.owner.owns(self.fence))
        return self.desired.has_served and not is_known
