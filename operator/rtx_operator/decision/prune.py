"""The objects to prune: our own that are desired no longer."""

from collections.abc import Iterator

from rtx_operator.api.names import Label
from rtx_operator.decision.context import DecisionContext
from rtx_operator.decision.install import exceeded_its_deadline
from rtx_operator.observation import JobEnd, Object, job_ended

# What holds data, serves traffic or runs pods is never deleted for being desired no longer.
PRUNABLE_KINDS = frozenset({
    "ConfigMap",
    "ControllerRevision",
    "HorizontalPodAutoscaler",
    "Job",
    "NetworkPolicy",
    "PodDisruptionBudget",
})  # fmt: skip


def objects_to_prune(context: DecisionContext) -> tuple[Object, ...]:
    """Children that this engine controls and desires no longer (an autoscaler switched off, a Job of another version),
    and Jobs that must not run late or again.
    """
    named = {(wanted["kind"], wanted["metadata"]["name"]) for wanted in _named(context)}
    return tuple(
        child
        for key, child in context.seen.children.items()
        if key[0] in PRUNABLE_KINDS
        and (key not in named or (key[0] == "Job" and _must_not_stay(child, context)))
        and not _is_kept_for_its_logs(child, context)
        and not child["metadata"].get("deletionTimestamp")
        and _is_controlled_by(child, context.engine.uid)
    )


def _must_not_stay(job: Object, context: DecisionContext) -> bool:
    """A Job that its deadline ended is made anew. A contract Job is deleted by its retirement, but for one that
    has not ended when that is given up: it must not run beside the next release.
    """
    retirement = context.state.retirement
    given_up = retirement is not None and retirement.phase.is_terminal
    is_contract = job["metadata"]["name"] == context.desired.active.contract["metadata"]["name"]
    if is_contract:
        return given_up and not _has_ended(job)
    return exceeded_its_deadline(job)


def _is_kept_for_its_logs(job: Object, context: DecisionContext) -> bool:
    """The Jobs of the last cutover stay. One that never ran must not run when its cutover is over.

    One that still runs while others are desired was replaced, by new migrationResources: two at a time would wait for
    each other's lock, until one fails.
    """
    cutover = context.state.cutover
    if cutover is None or job["metadata"].get("labels", {}).get(Label.CUTOVER.value) != cutover.id:
        return False
    replaced = context.desired.idle is not None
    return _has_ended(job) or not (cutover.phase.is_terminal or replaced)


def _has_ended(job: Object) -> bool:
    return any(job_ended(job, end) for end in JobEnd)


def _is_controlled_by(child: Object, uid: str) -> bool:
    owners = child["metadata"].get("ownerReferences", [])
    return any(owner["uid"] == uid and owner.get("controller") for owner in owners)


def _named(context: DecisionContext) -> Iterator[Object]:
    desired, maintenance = context.desired, context.state.maintenance_under_way
    yield from desired.base_objects
    for server in desired.servers.values():
        yield from server.kept
        if maintenance and maintenance.component is server.component:
            yield from (*server.renewed, *filter(None, [server.check]))
    yield from desired.borrowed_revision
    for colour in filter(None, (desired.active, desired.idle)):
        yield from colour.objects
        yield from colour.jobs
    for traffic in desired.traffic.values():
        yield from (traffic.select, *traffic.scaling)
