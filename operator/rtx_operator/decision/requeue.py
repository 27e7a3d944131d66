"""When an engine is reconciled again, by what was decided and what came of it."""

from datetime import datetime

from rtx_operator.api.enums import Reason
from rtx_operator.decision.decide import Decision
from rtx_operator.decision.outcome import Outcome
from rtx_operator.operations.arbiter import requeue_seconds

IMMEDIATELY = 0.0
WAITING_SECONDS = 10.0  # while something is waited for: not all of it shows as an event
UNHURRIED_SECONDS = 1.0  # the pause of phases in which no traffic waits for the operator
REFUSED_SECONDS = 5.0  # in such a phase, until what the API server refused is tried again
UNREACHABLE_SECONDS = 2.0  # while an operation waits for a database that does not answer; its answer comes earlier


def requeue_after(decision: Decision, outcome: Outcome, *, now: datetime, resync: float) -> float:
    """Seconds until the next reconcile; `resync` where nothing is waited for."""
    if outcome.interruption:
        return UNREACHABLE_SECONDS
    # What was refused has done nothing: it is reported, and not tried again without a pause.
    if outcome.is_stale or decision.entered or (decision.is_urgent and outcome.is_complete):
        return IMMEDIATELY
    if decision.waits is not None and decision.waits.reason is Reason.FLEET_BUSY:
        return WAITING_SECONDS  # the end of another engine's cutover wakes it
    of_operation = None if decision.pause else requeue_seconds(decision.state, now)
    if of_operation is None:
        return _at_rest(decision, outcome, now, resync)
    if decision.is_blind:
        return max(of_operation, UNREACHABLE_SECONDS)
    waits_for_a_person = outcome.refusal is not None and of_operation >= UNHURRIED_SECONDS
    return max(of_operation, REFUSED_SECONDS) if waits_for_a_person else of_operation


def _at_rest(decision: Decision, outcome: Outcome, now: datetime, resync: float) -> float:
    if decision.is_news and outcome.refusal is None:
        return IMMEDIATELY  # no event tells of the status that the operator writes itself
    unready = decision.unready
    if unready is not None and unready.reason is Reason.DATABASE_UNREACHABLE and decision.is_blind:
        return resync  # the database is asked without reconciles, and its first answer wakes one
    acts = decision.effects or decision.keep
    if decision.database_waits is not None or decision.redundant is not None:
        return WAITING_SECONDS  # a standby that catches up makes no event (ADR 0155)
    is_less = decision.below_size is not None or decision.without_cache is not None
    if unready is not None or is_less or outcome.refusal is not None or acts:
        return WAITING_SECONDS
    if previous := decision.state.previous:
        return min(resync, max(WAITING_SECONDS, (previous.retire_after - now).total_seconds()))
    return resync
