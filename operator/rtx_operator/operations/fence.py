"""How the fence is moved to a release, and which pods it must keep from executing (ADR 0030). Pure."""

from rtx_operator.api.status import Release
from rtx_operator.desired.state import DesiredState
from rtx_operator.observation import Fence, Object, Observation, revision_of
from rtx_operator.operations.effects import MoveFence

REVISION_VARIABLE = "REVISION"  # of an engine pod's environment, which it sends to the database


def fence_move(
    to: Release, desired: DesiredState, seen: Observation, *, known_epoch: int, fence: Fence | None, cutover: str
) -> MoveFence:
    """The move of the fence, as it was observed, to one release.

    It names the release's revision only where a pod of another one may run in its colour: pods that do not send
    their revision could not execute then.
    """
    named = bool(other_pods(desired, seen, to)) and sends_revision(desired, seen, to)
    return MoveFence(
        executors=(to.colour.value,),
        revisions=(to.revision,) if named else None,
        known_epoch=known_epoch,
        expected_epoch=fence.epoch if fence else None,
        cutover=cutover,
    )


def lets_others_execute(fence: Fence, desired: DesiredState, seen: Observation, release: Release) -> bool:
    """Whether a pod of another revision could execute in the release's colour, and a move could prevent it."""
    return (
        fence.revisions is None and bool(other_pods(desired, seen, release)) and sends_revision(desired, seen, release)
    )


def other_pods(desired: DesiredState, seen: Observation, release: Release) -> list[Object]:
    """Pods in the release's colour, of another revision, that may run a process, also while they end."""
    pods = seen.alive(desired.traffic[release.colour].workload.pods)
    return [pod for pod in pods if revision_of(pod) != release.revision]


def sends_revision(desired: DesiredState, seen: Observation, release: Release) -> bool:
    """Whether the pods of the release tell the database their revision, by the template that they are made from."""
    workload = desired.traffic[release.colour].workload
    deployment = seen.child(workload.kind, workload.name)
    if deployment is None or revision_of(deployment) != release.revision:
        return False
    containers = deployment["spec"]["template"]["spec"].get("containers") or []
    variables = [variable for container in containers for variable in container.get("env") or []]
    return {"name": REVISION_VARIABLE, "value": release.revision} in variables
