"""What each phase waits for: a chain of checks, each passed, not passed yet, or never to be passed.

Unknown, missing and unanswered is never passed. The first check that is not passed is what the cutover says it waits
for, so the order is the one in which a person would look.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from rtx_operator.api.enums import Phase, Reason
from rtx_operator.api.status import Release
from rtx_operator.cutover.context import CutoverContext
from rtx_operator.desired.state import JOB_LABEL, job_workload
from rtx_operator.diagnosis import diagnose
from rtx_operator.observation import JobEnd, Object, Observation, job_ended
from rtx_operator.pod_reports import EngineReport, ServedRequests

# What keeps pods from coming up may pass (a registry that is away, a node that is full): given this long, it does not.
GIVE_UP_AFTER = timedelta(seconds=45)
# What is tried anew with each look, and fails for this long, is no blip.
RETRY_FOR = timedelta(seconds=10)
# Pods that come and go leave their nodes busy for a moment (sandboxes, networks, policies): no switch falls into that.
SETTLE_TIME = timedelta(seconds=2)
# A pod that will not drain does not hold the cutover up for ever.
DRAIN_GRACE = timedelta(seconds=15)
QUIET_SECONDS = 5.0  # seconds without a request, after which nobody is thought to ask any more


@dataclass(frozen=True, slots=True)
class Unmet:
    """A check that is not passed; with a reason it never will be."""

    message: str
    reason: Reason | None = None


Check = Callable[[CutoverContext], Unmet | None]


def unmet(context: CutoverContext, checks: tuple[Check, ...]) -> Unmet | None:
    """The first check not passed, one that never will be before one that only waits; None when all are passed."""
    found = [said for check in checks if (said := check(context))]
    return next((said for said in found if said.reason), found[0] if found else None)


# --- Migrating -------------------------------------------------------------------------------------------------------


def migrated(context: CutoverContext) -> Unmet | None:
    desired = context.desired.of(context.new.colour)
    if desired is None:
        return Unmet(f"what version {context.new.version} looks like is not known any more", Reason.SUPERSEDED)
    return _job_done(context, desired.migrate, Reason.MIGRATION_FAILED, "migration")


def _job_done(context: CutoverContext, wanted: Object, failure: Reason, what: str) -> Unmet | None:
    name = wanted["metadata"]["name"]
    job = context.seen.child("Job", name)
    if job_ended(job, JobEnd.COMPLETE):
        return None
    if failed := job_ended(job, JobEnd.FAILED):
        said = _last_words(context.seen, name) or failed.get("message", "no detail given")
        return Unmet(f"{what} Job {name} failed: {said}; see kubectl logs job/{name}", failure)
    finding = diagnose(context.seen, job_workload(wanted)) if job else None
    if finding and context.now - context.cutover.since > GIVE_UP_AFTER:
        return Unmet(finding.message, finding.reason)
    return Unmet(finding.message if finding else f"waiting for {what} Job {name} to end")


def _last_words(seen: Observation, job: str) -> str:
    """The last line that a pod of the Job wrote before it failed."""
    for pod in seen.pods_of({JOB_LABEL: job}):
        for container in pod.get("status", {}).get("containerStatuses") or []:
            ended = (container.get("state") or {}).get("terminated") or {}
            if ended.get("exitCode") and ended.get("message", "").strip():
                return str(ended["message"].strip().splitlines()[-1])
    return ""


# --- Provisioning, and again before the switch -----------------------------------------------------------------------


def new_colour_ready(context: CutoverContext) -> Unmet | None:
    """As many ready pods as the active colour has now, and none of another revision left that would execute, too."""
    new, wanted = context.new, context.size_needed
    ready, others = len(context.ready_pods(new)), context.pods_of_other_revisions(new)
    if ready >= wanted and context.size(new) >= wanted and not others:
        return None
    finding = diagnose(context.seen, context.workload(new))
    if finding and context.now - context.cutover.since > GIVE_UP_AFTER:
        return Unmet(finding.message, finding.reason)
    said = f"waiting for version {new.version} in {new.colour}: {ready} of {wanted} pods ready"
    if others and not finding:
        return Unmet(f"{said}, and pod {others[0]} of what {new.colour} was before still ends")
    return Unmet(f"{said}; {finding.message}" if finding else said)


# --- Testing ---------------------------------------------------------------------------------------------------------


def old_pods_reach_new(context: CutoverContext) -> Unmet | None:
    """Each old pod says that it reaches the new colour: it will have to hand on requests."""
    for pod in context.ready_pods(context.old):
        name = pod["metadata"]["name"]
        answer = context.seen.reach.get(name, "was not asked")
        said = answer if isinstance(answer, str) else answer.error or "it does not say why"
        if isinstance(answer, str) or not answer.reaches:
            message = f"pod {name} does not reach the {context.new.colour} pods: {said}"
            return Unmet(message, _after_tries(context, Reason.PEERS_UNREACHABLE))
    return None


def smoke_passes(context: CutoverContext) -> Unmet | None:
    """Each smoke test of the spec was tried now and passed."""
    results = {result.name: result for result in context.seen.smoke}
    for test in context.engine.spec.rollout.smoke:
        result = results.get(test.name)
        if result is None or not result.passed:
            said = result.detail if result else "it was not tried"
            message = f"smoke test {test.name} (GET {test.path}) on {context.new.colour} does not pass: {said}"
            return Unmet(message, _after_tries(context, Reason.SMOKE_FAILED))
    return None


def nodes_settled(context: CutoverContext) -> Unmet | None:
    left = context.cutover.since + SETTLE_TIME - context.now
    return Unmet("the nodes come to rest after their pods have come and gone") if left > timedelta() else None


def _after_tries(context: CutoverContext, reason: Reason) -> Reason | None:
    return reason if context.now - context.cutover.since > RETRY_FOR else None


SWITCH_GATES: tuple[Check, ...] = (new_colour_ready, old_pods_reach_new, smoke_passes)


# --- Switching -------------------------------------------------------------------------------------------------------


def fence_names_new(context: CutoverContext) -> Unmet | None:
    if context.executes(context.new):
        return None
    gate = unmet(context, SWITCH_GATES)
    return gate or Unmet(f"the database does not name {context.new.colour} as executor yet")


def routed_to_new(context: CutoverContext) -> Unmet | None:
    """The live Service leads to the new colour and nowhere else."""
    if context.executes(context.new) and not context.ready_pods(context.new):
        return Unmet(f"no pod of version {context.new.version} is ready any more", Reason.NOT_READY)
    return _routed_to(context, context.new)


def _routed_to(context: CutoverContext, release: Release) -> Unmet | None:
    if context.routed_to(release):
        return None
    return Unmet(f"the EndpointSlices of Service {context.desired.live_service} do not name only {release.colour} yet")


# --- Monitoring ------------------------------------------------------------------------------------------------------


def new_colour_lives(context: CutoverContext) -> Unmet | None:
    new = context.new
    if not context.ready_pods(new):
        return Unmet(f"no pod of version {new.version} is ready any more", Reason.NOT_READY)
    since = context.cutover.fenced_at
    for pod in context.pods(new):
        for container in pod.get("status", {}).get("containerStatuses") or []:
            ended = (container.get("lastState") or {}).get("terminated") or {}
            if since and ended.get("finishedAt", "") > since.strftime("%Y-%m-%dT%H:%M:%SZ"):
                name, code = pod["metadata"]["name"], ended.get("exitCode")
                return Unmet(f"pod {name} of version {new.version} ended with {code}", Reason.CONTAINER_RESTARTED)
    return None


def new_colour_executes(context: CutoverContext) -> Unmet | None:
    """What is not known to execute is not judged: nothing that it answers would count."""
    if context.executes(context.new):
        return None
    return Unmet(f"the database does not say that {context.new.colour} executes")


def limits_kept(context: CutoverContext) -> Unmet | None:
    """What the new colour answered since the fence named it is within spec.rollout.monitor; too little says nothing."""
    monitor, new = context.engine.spec.rollout.monitor, context.new
    reports = context.reports(new)
    epoch = context.fence.epoch if context.fence else 0
    executed = ServedRequests.total((report.executed for report in reports if isinstance(report, EngineReport)), epoch)
    error_percent, p99 = executed.error_percent(), executed.p99_milliseconds()
    if executed.requests >= monitor.minimum_requests:
        if error_percent > monitor.max_error_percent:
            return Unmet(
                f"version {new.version} failed {executed.server_errors} of {executed.requests} requests "
                f"({error_percent:.1f} %, allowed are {monitor.max_error_percent:g} %)",
                Reason.TOO_MANY_ERRORS,
            )
        if p99 > monitor.max_p99_milliseconds:
            return Unmet(
                f"the slowest hundredth of {executed.requests} requests took version {new.version} "
                f"{p99:.0f} ms (allowed are {monitor.max_p99_milliseconds:g} ms)",
                Reason.TOO_SLOW,
            )
    silent = [said for said in reports if isinstance(said, str)]
    return Unmet(f"a pod of version {new.version} does not say how it fares: {silent[0]}") if silent else None


def watched_long_enough(context: CutoverContext) -> Unmet | None:
    begun = context.cutover.fenced_at or context.cutover.since
    until = begun + context.engine.spec.rollout.monitor.duration
    if context.now >= until:
        return None
    return Unmet(f"watching version {context.new.version} until {until:%H:%M:%S} UTC")


def old_colour_drained(context: CutoverContext) -> Unmet | None:
    return _drained(context, context.old)


def _drained(context: CutoverContext, release: Release) -> Unmet | None:
    """No WebSocket and nobody who asks, as the pods say themselves. After the time for it they still forward.

    However late it is, each pod is told: whoever should have told it may have been killed before.
    """
    cutover, reports = context.cutover, context.reports(release)
    until = (cutover.restored_at or cutover.switched_at or cutover.since) + context.drain_timeout
    if context.now >= until + DRAIN_GRACE:
        return None
    if any(isinstance(report, EngineReport) and not report.draining for report in reports):
        return Unmet(f"the pods of version {release.version} in {release.colour} are told to drain")
    if context.now >= until:
        return None
    for report in reports:
        if isinstance(report, str) or report.websockets or report.quiet_seconds < QUIET_SECONDS:
            return Unmet(f"version {release.version} in {release.colour} drains")
    return None


# --- Promoting -------------------------------------------------------------------------------------------------------


def promoted(context: CutoverContext) -> Unmet | None:
    """Autoscaler and disruption budget are on the new colour."""
    late = context.not_promoted
    return (
        Unmet(f"{late[0]['kind']} {late[0]['metadata']['name']} is not on {context.new.colour} yet") if late else None
    )


# --- RollingBack -----------------------------------------------------------------------------------------------------


def fence_names_old(context: CutoverContext) -> Unmet | None:
    if context.went_back:
        return None
    if not context.ready_pods(context.old):
        return Unmet(
            f"no pod of version {context.old.version} in {context.old.colour} is ready to go back to",
            Reason.CANNOT_ROLL_BACK,
        )
    return Unmet(f"the database does not name {context.old.colour} as executor again yet")


def routed_to_old(context: CutoverContext) -> Unmet | None:
    if context.selected() is context.old.colour and not context.cutover.fenced_at:
        return None  # it never left
    return _routed_to(context, context.old)


def new_colour_drained(context: CutoverContext) -> Unmet | None:
    return _drained(context, context.new) if context.cutover.fenced_at else None


def new_colour_empty(context: CutoverContext) -> Unmet | None:
    deployment = context.deployment_of_revision(context.new)
    if deployment is None or context.size(context.new) == 0:
        return None
    return Unmet(f"the pods of version {context.new.version} go away")


def reversed_(context: CutoverContext) -> Unmet | None:
    """The expand migrations are taken back, if the new version has never executed; they do no harm if they stay."""
    desired = context.desired.of(context.new.colour)
    if desired is None or not reverses(context):
        return None
    if context.now > context.cutover.since + REVERSE_TIMEOUT:
        return None  # the old version runs on what was added
    said = _job_done(context, desired.reverse, Reason.MIGRATION_FAILED, "reverse migration")
    return None if said and said.reason else said


REVERSE_TIMEOUT = timedelta(minutes=5)


def reverses(context: CutoverContext) -> bool:
    """Whether there may be something to reverse: it migrated, and never executed."""
    return context.cutover.fenced_at is None and Phase.MIGRATING in context.cutover.seconds


CHECKS: Mapping[Phase, tuple[Check, ...]] = MappingProxyType({
    Phase.MIGRATING: (migrated,),
    Phase.PROVISIONING: (new_colour_ready,),
    Phase.TESTING: (new_colour_ready, old_pods_reach_new, smoke_passes, nodes_settled),
    Phase.SWITCHING: (fence_names_new, routed_to_new),
    Phase.MONITORING: (new_colour_lives, new_colour_executes, limits_kept, watched_long_enough, old_colour_drained),
    Phase.PROMOTING: (promoted,),
    Phase.ROLLING_BACK: (fence_names_old, routed_to_old, new_colour_drained, new_colour_empty, reversed_),
})  # fmt: skip
