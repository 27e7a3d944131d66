"""What the status of a paused engine says."""

from datetime import datetime

from rtx_operator.api.enums import CutoverPhase
from rtx_operator.decision.context import DecisionContext


def where_it_stands(context: DecisionContext, since: datetime) -> str:
    """The message of a paused engine: since when, and how far a cutover under way has come."""
    message = (
        f"spec.paused is true since {since:%Y-%m-%d %H:%M:%S} UTC: until it is false the operator changes nothing, and "
        "no deadline passes"
    )
    cutover = context.cutover
    if cutover is None:
        return message
    executors = ", ".join(context.fence.executors) if context.fence else "unknown"
    selected = context.desired.selected(context.seen) or "nothing"
    course = (
        f"cutover {cutover.from_.version} → {cutover.to.version} stands in {cutover.phase}: orders are executed by "
        f"{executors}, the live Service selects {selected}"
    )
    if cutover.phase in _BETWEEN_COLOURS and executors != selected:
        course = (
            f"the switch is half done. {course}. Its pods forward every request to {executors}: leave both colours "
            "running. Set spec.paused to false to go on, and spec.version back as well to go back"
        )
    return f"{message}; {course}"


_BETWEEN_COLOURS = frozenset({CutoverPhase.SWITCHING, CutoverPhase.MONITORING, CutoverPhase.ROLLING_BACK})
