"""The sizes that no operation decides: the active colour within its bounds, and a kept one as small as it may be."""

from rtx_operator.api.enums import Reason
from rtx_operator.decision.context import DecisionContext
from rtx_operator.diagnosis import diagnose
from rtx_operator.observation import is_ready, is_younger, replicas, revision_of
from rtx_operator.operations.effects import EffectName, Scale, next_size
from rtx_operator.operations.jobs import GIVE_UP_AFTER
from rtx_operator.operations.state import PersistedState
from rtx_operator.results import Waiting


def active_size(context: DecisionContext) -> tuple[Scale, ...]:
    """Brings the size within its bounds; within them it is the autoscaler's, or the person's who set it."""
    desired = context.desired
    deployment = context.seen.child(desired.engine.kind, desired.engine.name)
    if deployment is None:
        return ()
    size = int(deployment["spec"].get("replicas", 1))
    bounded = min(max(size, desired.minimum), desired.maximum)
    if size == bounded:
        return ()
    why = f"had {size} pods, and spec.scaling allows {desired.minimum} to {desired.maximum}: set to {bounded}"
    return (Scale(EffectName.RESIZE, deployment, bounded, why),)


def kept_size(context: DecisionContext, state: PersistedState) -> tuple[Scale, ...]:
    """Brings the previous release back to the minimum, after a cutover that was rolled back had borrowed its colour."""
    previous, desired = state.previous, context.desired
    if previous is None:
        return ()
    kept, workload = desired.of(previous.colour), desired.traffic[previous.colour].workload
    deployment = context.seen.child(workload.kind, workload.name)
    if kept is None or kept.revision.hash != previous.revision:
        return ()
    if deployment is None or revision_of(deployment) != previous.revision:
        return ()  # its objects are applied again first
    size, ready = replicas(deployment)
    wanted = next_size(ready, desired.minimum)
    return (Scale(EffectName.RESIZE, deployment, wanted),) if size < wanted else ()


def below_size(context: DecisionContext) -> Waiting | None:
    """What keeps the active colour from its size, also while it serves; None when all of its pods are ready.

    The cause is told unless every pod that is not ready has just been made.
    """
    workload, seen = context.desired.engine, context.seen
    size, ready = replicas(seen.child(workload.kind, workload.name))
    if ready == size:
        return None
    counted = f"{ready} of {size} engine pods ready"
    late = [pod for pod in seen.pods_of(workload.pods) if not is_ready(pod)]
    are_starting = late and all(is_younger(pod, GIVE_UP_AFTER, context.now) for pod in late)
    cause = None if are_starting else diagnose(seen, workload)
    return Waiting(f"{counted}: {cause.message}", cause.reason) if cause else Waiting(counted, Reason.SCALING)
