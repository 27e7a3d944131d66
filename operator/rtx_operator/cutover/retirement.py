"""The colour that was active before: kept warm for a while, then taken away.

It is emptied first and the contract migrations run after its last pod is gone: they take away what only its version
needs, and a pod of it that still lived would meet a database that it does not know.
"""

from rtx_operator.api.enums import PreviousState
from rtx_operator.api.names import Label
from rtx_operator.api.status import Previous
from rtx_operator.cutover.effects import Apply, Effect, EffectName, Scale, next_size
from rtx_operator.cutover.state import PersistedState
from rtx_operator.desired.state import DesiredState
from rtx_operator.observation import JobEnd, Object, Observation, job_ended, replicas


def retirement_actions(desired: DesiredState, seen: Observation, state: PersistedState) -> tuple[Effect, ...]:
    """What the kept colour needs now, while no cutover is under way."""
    previous = state.previous
    if previous is None:
        return ()
    if previous.state is PreviousState.RETIRING:
        return _retire(desired, seen, previous)
    return _keep_warm(desired, seen, previous)


def retired(desired: DesiredState, seen: Observation, previous: Previous) -> bool:
    """Whether its last pod is gone and the contract migrations have run."""
    contracted = job_ended(_contract_job(desired, seen), JobEnd.COMPLETE)
    return _is_gone(desired, seen, previous) and contracted is not None


def contract_failure(desired: DesiredState, seen: Observation) -> str:
    """Why the contract migrations failed; empty when they did not."""
    failed = job_ended(_contract_job(desired, seen), JobEnd.FAILED)
    return str(failed.get("message", "no detail given")) if failed else ""


def _contract_job(desired: DesiredState, seen: Observation) -> Object | None:
    return seen.child("Job", desired.active.contract["metadata"]["name"])


def _is_gone(desired: DesiredState, seen: Observation, previous: Previous) -> bool:
    return seen.remaining(desired.traffic[previous.colour].workload.pods) == 0


def _retire(desired: DesiredState, seen: Observation, previous: Previous) -> tuple[Effect, ...]:
    deployment = _deployment(desired, seen, previous)
    if deployment and replicas(deployment)[0]:
        fence = seen.database.fence if seen.database else None
        if fence is None or fence.executors != (desired.active.colour.value,):
            return ()  # a failover may have lost the move: then it is the one that executes
        if desired.selected(seen) is not desired.active.colour:
            return ()  # never scale down what the live Service selects
        return (Scale(EffectName.EMPTY, deployment, 0),)
    if not _is_gone(desired, seen, previous):
        return ()
    return (Apply(EffectName.CONTRACT, (desired.active.contract,)),)


def _keep_warm(desired: DesiredState, seen: Observation, previous: Previous) -> tuple[Effect, ...]:
    """A cutover that was rolled back had borrowed its colour: it comes back as it was, as small as it may be."""
    kept = desired.of(previous.colour)
    if kept is None or kept.revision.hash != previous.revision:
        return ()
    deployment = _deployment(desired, seen, previous)
    revision = (deployment or {}).get("metadata", {}).get("labels", {}).get(Label.REVISION.value)
    if deployment is None or revision != previous.revision:
        return ()  # its objects are repaired as all others are; its size is not among them
    size, ready = replicas(deployment)
    wanted = next_size(ready, desired.minimum)
    return (Scale(EffectName.RESIZE, deployment, wanted),) if size < wanted else ()


def _deployment(desired: DesiredState, seen: Observation, previous: Previous) -> Object | None:
    workload = desired.traffic[previous.colour].workload
    return seen.child(workload.kind, workload.name)
