"""What is decided of a paused engine: what its status says, and what is done all the same, because it keeps data."""

from datetime import datetime

from rtx_operator.api.enums import CutoverPhase, DeletionPolicy
from rtx_operator.decision.context import DecisionContext
from rtx_operator.observation import Object
from rtx_operator.operations.effects import KeepData


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


def data_to_keep(context: DecisionContext) -> tuple[KeepData, ...]:
    """Retain takes effect although the engine is paused: what would be deleted with it is no longer (ADR 0038).

    Nothing else of these objects is changed: somebody may be at work on them.
    """
    if context.engine.spec.deletion_policy is not DeletionPolicy.RETAIN:
        return ()
    expendable = tuple(child for child in context.seen.children.values() if is_expendable(child, context.engine.uid))
    return (KeepData(expendable),) if expendable else ()


def is_expendable(child: Object, uid: str) -> bool:
    """Whether the child holds data or its passwords, and would be deleted with the TradingEngine of this uid."""
    if child["kind"] == "Secret":
        return any(owner["uid"] == uid for owner in child["metadata"].get("ownerReferences") or [])
    policy = child.get("spec", {}).get("persistentVolumeClaimRetentionPolicy") or {}
    return child["kind"] == "StatefulSet" and policy.get("whenDeleted") == "Delete"
