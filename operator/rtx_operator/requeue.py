"""When to look again, by what was decided. Pure: the caller knows what must be looked at at once."""

from datetime import datetime

from rtx_operator.api.enums import Phase, Reason
from rtx_operator.decide import Decision

WAITING = 10.0  # seconds, while something is waited for: not all of it shows as an event
UNREACHABLE = 2.0  # seconds, while the database does not answer: nothing tells when it does
CUTOVER = 1.0  # seconds, in a phase in which nothing presses
# Seconds in the phases in which traffic waits for us, or a bad version is to be found out; not once traffic is back.
_PRESSING = {Phase.SWITCHING: 0.2, Phase.MONITORING: 0.4, Phase.ROLLING_BACK: 0.2}


def requeue_after(decision: Decision, *, refused: bool, now: datetime, resync: float) -> float:
    """Seconds until the next look; `resync` where nothing is waited for. `refused`: not all could be carried out."""
    if cutover := decision.state.under_way:
        return CUTOVER if cutover.restored_at else _PRESSING.get(cutover.phase, CUTOVER)
    if decision.verdict is not None and decision.verdict.reason is Reason.DATABASE_UNREACHABLE:
        return UNREACHABLE
    if decision.verdict is not None or refused or decision.effects:
        return WAITING
    if previous := decision.state.previous:
        return min(resync, max(WAITING, (previous.retire_after - now).total_seconds()))
    return resync
