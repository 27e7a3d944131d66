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
from rtx_operator.cutover.situation import Situation
from rtx_operator.diagnosis import diagnose
from rtx_operator.observation import JobEnd, Object, Observation, job_ended
from rtx_operator.plan import JOB_LABEL, job_workload
from rtx_operator.reports import EngineReport, Executed

# What keeps pods from coming up may pass (a registry that is away, a node that is full): given this long, it does not.
GIVE_UP_AFTER = timedelta(seconds=45)
# What is tried anew with each look, and fails for this long, is no blip.
TRIES_FOR = timedelta(seconds=10)
# Pods that come and go leave their nodes busy for a moment (sandboxes, networks, policies): no switch falls into that.
SETTLE = timedelta(seconds=2)
# A pod that will not drain does not hold the cutover up for ever.
TOLD_WITHIN = timedelta(seconds=15)
QUIET = 5.0  # seconds without a request, after which nobody is thought to ask any more


@dataclass(frozen=True, slots=True)
class Unmet:
    """A check that is not passed; with a reason it never will be."""

    message: str
    reason: Reason | None = None


Check = Callable[[Situation], Unmet | None]


def unmet(situation: Situation, checks: tuple[Check, ...]) -> Unmet | None:
    """The first check not passed, one that never will be before one that only waits; None when all are passed."""
    found = [said for check in checks if (said := check(situation))]
    return next((said for said in found if said.reason), found[0] if found else None)


# --- Migrating -------------------------------------------------------------------------------------------------------


def migrated(situation: Situation) -> Unmet | None:
    plan = situation.plan.of(situation.new.colour)
    if plan is None:
        return Unmet(f"what version {situation.new.version} looks like is not known any more", Reason.SUPERSEDED)
    return _job_done(situation, plan.migrate, Reason.MIGRATION_FAILED, "migration")


def _job_done(situation: Situation, wanted: Object, failure: Reason, what: str) -> Unmet | None:
    name = wanted["metadata"]["name"]
    job = situation.seen.child("Job", name)
    if job_ended(job, JobEnd.COMPLETE):
        return None
    if failed := job_ended(job, JobEnd.FAILED):
        said = _last_words(situation.seen, name) or failed.get("message", "no detail given")
        return Unmet(f"{what} Job {name} failed: {said}; see kubectl logs job/{name}", failure)
    finding = diagnose(situation.seen, job_workload(wanted)) if job else None
    if finding and situation.now - situation.cutover.since > GIVE_UP_AFTER:
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


def new_colour_ready(situation: Situation) -> Unmet | None:
    """As many ready pods as the active colour has now, and none of another revision left that would execute, too."""
    new, wanted = situation.new, situation.size_needed
    ready, others = len(situation.ready_pods(new)), situation.pods_of_other_revisions(new)
    if ready >= wanted and situation.size(new) >= wanted and not others:
        return None
    finding = diagnose(situation.seen, situation.workload(new))
    if finding and situation.now - situation.cutover.since > GIVE_UP_AFTER:
        return Unmet(finding.message, finding.reason)
    said = f"waiting for version {new.version} in {new.colour}: {ready} of {wanted} pods ready"
    if others and not finding:
        return Unmet(f"{said}, and pod {others[0]} of what {new.colour} was before still ends")
    return Unmet(f"{said}; {finding.message}" if finding else said)


# --- Testing ---------------------------------------------------------------------------------------------------------


def old_pods_reach_new(situation: Situation) -> Unmet | None:
    """Each old pod says that it reaches the new colour: it will have to hand on requests."""
    for pod in situation.ready_pods(situation.old):
        name = pod["metadata"]["name"]
        answer = situation.seen.reach.get(name, "was not asked")
        said = answer if isinstance(answer, str) else answer.error or "it does not say why"
        if isinstance(answer, str) or not answer.reaches:
            message = f"pod {name} does not reach the {situation.new.colour} pods: {said}"
            return Unmet(message, _after_tries(situation, Reason.PEERS_UNREACHABLE))
    return None


def smoke_passes(situation: Situation) -> Unmet | None:
    """Each smoke test of the spec was tried now and passed."""
    results = {result.name: result for result in situation.seen.smoke}
    for test in situation.engine.spec.rollout.smoke:
        result = results.get(test.name)
        if result is None or not result.passed:
            said = result.detail if result else "it was not tried"
            message = f"smoke test {test.name} (GET {test.path}) on {situation.new.colour} does not pass: {said}"
            return Unmet(message, _after_tries(situation, Reason.SMOKE_FAILED))
    return None


def nodes_settled(situation: Situation) -> Unmet | None:
    left = situation.cutover.since + SETTLE - situation.now
    return Unmet("the nodes come to rest after their pods have come and gone") if left > timedelta() else None


def _after_tries(situation: Situation, reason: Reason) -> Reason | None:
    return reason if situation.now - situation.cutover.since > TRIES_FOR else None


SWITCH_GATES: tuple[Check, ...] = (new_colour_ready, old_pods_reach_new, smoke_passes)


# --- Switching -------------------------------------------------------------------------------------------------------


def fence_names_new(situation: Situation) -> Unmet | None:
    if situation.executes(situation.new):
        return None
    gate = unmet(situation, SWITCH_GATES)
    return gate or Unmet(f"the database does not name {situation.new.colour} as executor yet")


def routed_to_new(situation: Situation) -> Unmet | None:
    """The live Service leads to the new colour and nowhere else."""
    if situation.executes(situation.new) and not situation.ready_pods(situation.new):
        return Unmet(f"no pod of version {situation.new.version} is ready any more", Reason.NOT_READY)
    return _routed_to(situation, situation.new)


def _routed_to(situation: Situation, release: Release) -> Unmet | None:
    if situation.routed_to(release):
        return None
    return Unmet(f"the EndpointSlices of Service {situation.plan.live_service} do not name only {release.colour} yet")


# --- Monitoring ------------------------------------------------------------------------------------------------------


def new_colour_lives(situation: Situation) -> Unmet | None:
    new = situation.new
    if not situation.ready_pods(new):
        return Unmet(f"no pod of version {new.version} is ready any more", Reason.NOT_READY)
    since = situation.cutover.fenced_at
    for pod in situation.pods(new):
        for container in pod.get("status", {}).get("containerStatuses") or []:
            ended = (container.get("lastState") or {}).get("terminated") or {}
            if since and ended.get("finishedAt", "") > since.strftime("%Y-%m-%dT%H:%M:%SZ"):
                name, code = pod["metadata"]["name"], ended.get("exitCode")
                return Unmet(f"pod {name} of version {new.version} ended with {code}", Reason.CONTAINER_RESTARTED)
    return None


def new_colour_executes(situation: Situation) -> Unmet | None:
    """What is not known to execute is not judged: nothing that it answers would count."""
    if situation.executes(situation.new):
        return None
    return Unmet(f"the database does not say that {situation.new.colour} executes")


def limits_kept(situation: Situation) -> Unmet | None:
    """What the new colour answered since the fence named it is within spec.rollout.monitor; too little says nothing."""
    monitor, new = situation.engine.spec.rollout.monitor, situation.new
    reports = situation.reports(new)
    epoch = situation.fence.epoch if situation.fence else 0
    executed = Executed.total((report.executed for report in reports if isinstance(report, EngineReport)), epoch)
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


def watched_long_enough(situation: Situation) -> Unmet | None:
    begun = situation.cutover.fenced_at or situation.cutover.since
    until = begun + situation.engine.spec.rollout.monitor.duration
    if situation.now >= until:
        return None
    return Unmet(f"watching version {situation.new.version} until {until:%H:%M:%S} UTC")


def old_colour_drained(situation: Situation) -> Unmet | None:
    return _drained(situation, situation.old)


def _drained(situation: Situation, release: Release) -> Unmet | None:
    """No WebSocket and nobody who asks, as the pods say themselves. After the time for it they still forward.

    However late it is, each pod is told: whoever should have told it may have been killed before.
    """
    cutover, reports = situation.cutover, situation.reports(release)
    until = (cutover.restored_at or cutover.switched_at or cutover.since) + situation.drain_timeout
    if situation.now >= until + TOLD_WITHIN:
        return None
    if any(isinstance(report, EngineReport) and not report.draining for report in reports):
        return Unmet(f"the pods of version {release.version} in {release.colour} are told to drain")
    if situation.now >= until:
        return None
    for report in reports:
        if isinstance(report, str) or report.websockets or report.quiet_seconds < QUIET:
            return Unmet(f"version {release.version} in {release.colour} drains")
    return None


# --- Promoting -------------------------------------------------------------------------------------------------------


def promoted(situation: Situation) -> Unmet | None:
    """Autoscaler and disruption budget are on the new colour."""
    late = situation.not_promoted
    return (
        Unmet(f"{late[0]['kind']} {late[0]['metadata']['name']} is not on {situation.new.colour} yet") if late else None
    )


# --- RollingBack -----------------------------------------------------------------------------------------------------


def fence_names_old(situation: Situation) -> Unmet | None:
    if situation.went_back:
        return None
    if not situation.ready_pods(situation.old):
        return Unmet(
            f"no pod of version {situation.old.version} in {situation.old.colour} is ready to go back to",
            Reason.CANNOT_ROLL_BACK,
        )
    return Unmet(f"the database does not name {situation.old.colour} as executor again yet")


def routed_to_old(situation: Situation) -> Unmet | None:
    if situation.selected() is situation.old.colour and not situation.cutover.fenced_at:
        return None  # it never left
    return _routed_to(situation, situation.old)


def new_colour_drained(situation: Situation) -> Unmet | None:
    return _drained(situation, situation.new) if situation.cutover.fenced_at else None


def new_colour_empty(situation: Situation) -> Unmet | None:
    deployment = situation.deployment_of_revision(situation.new)
    if deployment is None or situation.size(situation.new) == 0:
        return None
    return Unmet(f"the pods of version {situation.new.version} go away")


def reversed_(situation: Situation) -> Unmet | None:
    """The expand migrations are taken back, if the new version has never executed; they do no harm if they stay."""
    plan = situation.plan.of(situation.new.colour)
    if plan is None or not reverses(situation):
        return None
    if situation.now > situation.cutover.since + REVERSE_AT_MOST:
        return None  # the old version runs on what was added
    said = _job_done(situation, plan.reverse, Reason.MIGRATION_FAILED, "reverse migration")
    return None if said and said.reason else said


REVERSE_AT_MOST = timedelta(minutes=5)


def reverses(situation: Situation) -> bool:
    """Whether there may be something to reverse: it migrated, and never executed."""
    return situation.cutover.fenced_at is None and Phase.MIGRATING in situation.cutover.seconds


CHECKS: Mapping[Phase, tuple[Check, ...]] = MappingProxyType({
    Phase.MIGRATING: (migrated,),
    Phase.PROVISIONING: (new_colour_ready,),
    Phase.TESTING: (new_colour_ready, old_pods_reach_new, smoke_passes, nodes_settled),
    Phase.SWITCHING: (fence_names_new, routed_to_new),
    Phase.MONITORING: (new_colour_lives, new_colour_executes, limits_kept, watched_long_enough, old_colour_drained),
    Phase.PROMOTING: (promoted,),
    Phase.ROLLING_BACK: (fence_names_old, routed_to_old, new_colour_drained, new_colour_empty, reversed_),
})  # fmt: skip
