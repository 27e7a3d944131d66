"""What came of carrying out a decision, and what status says of it."""

from dataclasses import dataclass
from datetime import datetime

from rtx_operator.api.engine import TradingEngine
from rtx_operator.decision.conditions import after_decision, after_disputes, after_unmet
from rtx_operator.decision.decide import Decision
from rtx_operator.desired.state import DesiredState
from rtx_operator.observation import Object
from rtx_operator.operations.state import PersistedState
from rtx_operator.results import Dispute, Unmet


@dataclass(frozen=True, slots=True)
class Outcome:
    """`refusal`: part of it was refused, and the rest carried out. `interruption`: the rest was not carried out either.

    `is_stale`: something had changed since it was observed; the rest was not carried out, and is decided anew.
    `disputes` are about the engine's objects, whatever was decided; None: not known.
    """

    refusal: Unmet | None = None
    interruption: Unmet | None = None
    is_stale: bool = False
    disputes: tuple[Dispute, ...] | None = None

    @property
    def is_complete(self) -> bool:
        return not (self.refusal or self.interruption or self.is_stale)


def status_after(
    before: Object, engine: TradingEngine, desired: DesiredState, decision: Decision, outcome: Outcome, now: datetime
) -> Object | None:
    """The status to write; None when the next reconcile comes at once and has nothing to learn from it (ADR 0016).

    It also comes at once after answers that are still missing: what is unknown for a moment is no news.
    What was decided stays decided, whatever came of it: the state rests on what was observed.
    """
    at_once = outcome.is_stale or (decision.is_urgent and outcome.is_complete) or not decision.is_whole
    if at_once and not decision.state.says_more_than(PersistedState.of(engine.status)):
        return None
    status = after_decision(before, engine, desired, decision, outcome.refusal, now)
    if outcome.disputes is not None:
        status = after_disputes(status, engine.generation, outcome.disputes, now)
    if outcome.interruption:
        # A condition's time is that of its last change in what was written, not within this reconcile.
        conditions = {"conditions": before.get("conditions") or []}
        return after_unmet({**status, **conditions}, engine.generation, outcome.interruption, now)
    return status
