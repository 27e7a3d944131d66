"""The objects to prune: our own that are desired no longer."""

from collections.abc import Iterator

from rtx_operator.api.enums import Colour, Component, CutoverPhase
from rtx_operator.api.names import Label, Names
from rtx_operator.api.status import Cutover
from rtx_operator.decision.context import DecisionContext
from rtx_operator.decision.install import credentials_exist, exceeded_its_deadline
from rtx_operator.desired.servers import SERVERS
from rtx_operator.observation import JobEnd, Object, job_ended, replicas, revision_of

# What holds data, serves traffic or runs pods is never deleted for being desired no longer.
PRUNABLE_KINDS = frozenset({
    "ConfigMap",
    "ControllerRevision",
    "CronJob",
    "HorizontalPodAutoscaler",
    "Job",
    "NetworkPolicy",
    "PodDisruptionBudget",
})  # fmt: skip


def objects_to_prune(context: DecisionContext) -> tuple[Object, ...]:
    """Children that this engine controls and desires no longer (an autoscaler switched off, a Job of another version),
    and Jobs that must not run late or again.

    Nothing while it is not known what serves, or what is desired because passwords are lost, and never what a workload
    or a pod is made from, whatever status says.
    """
    if context.serves_unknown or credentials_exist(context) is not None:
        return ()
    named = {(wanted["kind"], wanted["metadata"]["name"]) for wanted in _named(context)} | set(_in_use(context))
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
    """A Job that its deadline ended is made anew. A migration that is taken back ends before it is reversed. A contract
    Job is deleted by its retirement, but for one that has not ended when that is given up: it must not run beside the
    next release, nor on data that were not migrated for this one, nor in the database of another engine.
    """
    if _is_taken_back(job, context):
        return True
    retirement = context.state.retirement
    given_up = retirement is not None and retirement.phase.is_terminal
    is_contract = job["metadata"]["name"] == context.desired.active.contract["metadata"]["name"]
    if is_contract:
        return (given_up or _lacks_what_contracts(context)) and not _has_ended(job)
    return exceeded_its_deadline(job)


def _lacks_what_contracts(context: DecisionContext) -> bool:
    is_foreign = context.fence is not None and not context.owner.owns(context.fence)
    return is_foreign or context.state.earlier_data is not None


def _is_taken_back(job: Object, context: DecisionContext) -> bool:
    """Whether it is a migration of the cutover that rolls back, which has not ended."""
    cutover, new = context.cutover, context.desired.idle
    rolls_back = cutover is not None and cutover.phase is CutoverPhase.ROLLING_BACK
    is_reverse = new is not None and job["metadata"]["name"] == new.reverse["metadata"]["name"]
    return rolls_back and _is_of(cutover, job) and not is_reverse and not _has_ended(job)


def _is_of(cutover: Cutover | None, job: Object) -> bool:
    labels = job["metadata"].get("labels") or {}
    return cutover is not None and labels.get(Label.CUTOVER.value) == cutover.id


def _is_kept_for_its_logs(job: Object, context: DecisionContext) -> bool:
    """The Jobs of the last cutover, and of the last restore, stay. One that never ran must not run when that is over.

    One that still runs while others are desired was replaced, by new migrationResources: two at a time would wait for
    each other's lock, until one fails.
    """
    cutover, restore = context.state.cutover, context.state.restore
    if restore and (job["metadata"].get("labels") or {}).get(Label.RESTORE.value) == restore.name:
        return _has_ended(job)
    if cutover is None or not _is_of(cutover, job) or _is_taken_back(job, context):
        return False
    replaced = context.desired.idle is not None
    return _has_ended(job) or not (cutover.phase.is_terminal or replaced)


def _has_ended(job: Object) -> bool:
    return any(job_ended(job, end) for end in JobEnd)


def _is_controlled_by(child: Object, uid: str) -> bool:
    owners = child["metadata"].get("ownerReferences", [])
    return any(owner["uid"] == uid and owner.get("controller") for owner in owners)


def _in_use(context: DecisionContext) -> Iterator[tuple[str, str]]:
    """What records the revision of a workload with pods, or of a pod, and the configuration of its containers."""
    seen, names = context.seen, Names(context.engine.name)
    with_pods = (live for live in seen.children_of("Deployment") if replicas(live)[0])
    for made in (*with_pods, *seen.children_of("StatefulSet"), *seen.pods):
        labels, spec = made["metadata"].get("labels") or {}, made.get("spec") or {}
        revision, colour = revision_of(made), labels.get(Label.COLOUR.value)
        if colour in set(Colour):
            yield "ControllerRevision", names.record(Colour(colour), revision)
        elif (component := labels.get(Label.COMPONENT.value)) in set(SERVERS):
            yield "ControllerRevision", names.server_revision(Component(component), revision)
        for container in spec.get("template", made).get("spec", {}).get("containers") or []:
            for source in container.get("envFrom") or []:
                yield "ConfigMap", source.get("configMapRef", {}).get("name", "")


def _named(context: DecisionContext) -> Iterator[Object]:
    desired, maintenance = context.desired, context.state.maintenance_under_way
    yield from desired.base_objects
    for server in desired.servers.values():
        yield from server.kept
        if maintenance and maintenance.component is server.component:
            yield from (*server.renewed, *server.checks)
    yield from desired.restore.jobs if desired.restore else ()
    yield from desired.borrowed_revision
    for colour in filter(None, (desired.active, desired.idle)):
        yield from colour.objects
        yield from colour.jobs
    for traffic in desired.traffic.values():
        yield from (traffic.select, *traffic.scaling)
