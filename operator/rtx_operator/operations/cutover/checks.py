"""What each phase of a cutover waits for: chains of checks.

Unknown, missing and unanswered is never passed. The first check that is not passed is what the cutover waits for in
its message, so the order is the one in which a person would look.
"""

from collections.abc import Iterator
from datetime import timedelta

from rtx_operator.api.enums import Component, Judgement, Reason
from rtx_operator.api.enums import CutoverPhase as Phase
from rtx_operator.api.names import Names
from rtx_operator.api.status import Release
from rtx_operator.desired.state import JOB_LABEL
from rtx_operator.diagnosis import diagnose
from rtx_operator.observation import ENGINE_CONTAINER, Object, age, ends, hangs, is_evicted
from rtx_operator.operations.cutover import evidence
from rtx_operator.operations.cutover.context import CutoverContext
from rtx_operator.operations.jobs import GIVE_UP_AFTER, job_done
from rtx_operator.pod_reports import EngineReport, is_same_version
from rtx_operator.results import Check, Failure, Unmet, Waiting, worst_unmet

# A query that is repeated with each reconcile and fails for this long is no blip.
RETRY_FOR = timedelta(seconds=10)
# Pods that start and end leave their nodes busy for a moment (sandboxes, networks, policies): no switch falls into it.
SETTLE_TIME = timedelta(seconds=2)
# A pod that does not drain does not hold up the cutover for ever.
DRAIN_GRACE = timedelta(seconds=15)
# Whatever the clock says after nobody has observed the new version for a while, it is watched for so long again.
WATCH_AFTER_GAP = timedelta(seconds=10)
QUIET_SECONDS = 5.0  # without a request, after which no client is expected to send one
REVERSE_TIMEOUT = timedelta(minutes=5)
WHOLE_TIMEOUT = timedelta(minutes=1)  # in which old pods that are away may come back


# --- Pending ---------------------------------------------------------------------------------------------------------


def nothing_holds(context: CutoverContext) -> Unmet | None:
    """The engine's installation is in order: no migration runs on a database that is not."""
    return Waiting(context.held) if context.held else None


def no_migration_runs(context: CutoverContext) -> Unmet | None:
    """No pod of an earlier migration Job may still run, whatever became of its Job.

    One that hangs on a lost node is not waited for: the runner of migrations is alone in the database.
    """
    return _no_migration_runs(context)


def _no_migration_runs(context: CutoverContext, besides: str = "") -> Unmet | None:
    """`besides` is the name of the Job whose pods may run; empty: none."""
    for pod in context.seen.alive(Names(context.engine.name).selector(Component.MIGRATION)):
        name, labels = pod["metadata"]["name"], pod["metadata"].get("labels") or {}
        if not hangs(pod, context.now) and (not besides or labels.get(JOB_LABEL) != besides):
            return Waiting(f"waiting for pod {name} of an earlier migration Job to end; it is {age(pod)}")
    return None


def slot_is_free(context: CutoverContext) -> Unmet | None:
    """Fewer engines than MAX_CUTOVERS are in a cutover; going back to the release that is kept waits for none."""
    if context.seen.cutover_slot or context.goes_back:
        return None
    others = context.seen.cutovers_elsewhere
    if others is None:
        return Waiting("waiting until the operator, which has just started, knows all engines", Reason.FLEET_BUSY)
    return Waiting(
        f"{others} other engines are being upgraded, as many as MAX_CUTOVERS of the operator allows; this one waits",
        Reason.FLEET_BUSY,
    )


# --- Migrating -------------------------------------------------------------------------------------------------------


def migrated(context: CutoverContext) -> Unmet | None:
    target = context.desired.of(context.new.colour)
    if target is None:
        return Failure(f"no revision of version {context.new.version} is recorded any more", Reason.SUPERSEDED)
    return job_done(
        context.seen, target.migrate, Reason.MIGRATION_FAILED, "migration", waited=context.waited, now=context.now
    )


# --- Provisioning, and again before the switch -----------------------------------------------------------------------


def new_colour_ready(context: CutoverContext) -> Unmet | None:
    """As many ready pods as the active colour has now, and none of another revision left that would execute, too."""
    new, wanted = context.new, context.size_needed
    ready, others = len(context.ready_pods(new)), context.pods_of_other_revisions(new)
    if ready >= wanted and context.size(new) >= wanted and not others:
        return None
    diagnosis = context.refusal or diagnose(context.seen, context.workload(new))
    has_had_its_time = context.waited > GIVE_UP_AFTER and (context.refusal or not context.all_are_new(new))
    if diagnosis and has_had_its_time:
        return diagnosis
    message = f"waiting for version {new.version} in {new.colour}: {ready} of {wanted} pods ready"
    if others and not diagnosis:
        return Waiting(f"{message}, and pod {others[0]} of another revision in {new.colour} has not ended")
    return Waiting(f"{message}; {diagnosis.message}" if diagnosis else message)


# --- Testing ---------------------------------------------------------------------------------------------------------


def old_pods_reach_new(context: CutoverContext) -> Unmet | None:
    """Each old pod reports that it reaches the new colour: it will have to forward requests."""
    for pod in context.ready_pods(context.old):
        name = pod["metadata"]["name"]
        answer = context.seen.reach.get(name)
        if answer is None:
            return Waiting(f"pod {name} has not answered yet whether it reaches the {context.new.colour} pods")
        cause = answer if isinstance(answer, str) else answer.error or "it gives no cause"
        if isinstance(answer, str) or not answer.reaches:
            message = f"pod {name} does not reach the {context.new.colour} pods: {cause}"
            return _after_retries(context, message, Reason.PEERS_UNREACHABLE)
    return None


def pods_are_of_version(context: CutoverContext) -> Unmet | None:
    """Each new pod reports the version that it was made for: a tag may lead to another build."""
    version = context.new.version
    for pod in context.ready_pods(context.new):
        name = pod["metadata"]["name"]
        report = context.seen.engines.get(name)
        if report is None:
            return Waiting(f"pod {name} has not reported its version yet")
        if isinstance(report, str):
            return _after_retries(context, f"pod {name} does not report its version: {report}", Reason.NOT_READY)
        if not is_same_version(report.version, version):
            return Failure(
                f"pod {name} reports version {report.version}, not {version}: its image is another build than "
                "spec.version says; push the right image, or correct spec.version or spec.image",
                Reason.WRONG_VERSION,
            )
    return None


def smoke_passes(context: CutoverContext) -> Unmet | None:
    """Each smoke test of the spec was run anew for this reconcile and passed."""
    return _smoke(context, context.waited)


def _smoke(context: CutoverContext, failing_for: timedelta) -> Unmet | None:
    """The first smoke test that has not passed in this reconcile; one that fails for longer than RETRY_FOR counts."""
    results = {result.name: result for result in context.seen.smoke}
    for test in context.engine.spec.rollout.smoke:
        result = results.get(test.name)
        title = f"smoke test {test.name} (GET {test.path}) on {context.new.colour}"
        if result is None:
            return Waiting(f"{title} has no result yet")
        if not result.passed:
            message = f"{title} does not pass: {result.detail}"
            return Failure(message, Reason.SMOKE_FAILED) if failing_for > RETRY_FOR else Waiting(message)
    return None


def nodes_settled(context: CutoverContext) -> Unmet | None:
    seconds = SETTLE_TIME.total_seconds()
    return (
        Waiting(f"waiting {seconds:.0f} s for nodes to settle before the switch")
        if context.waited < SETTLE_TIME
        else None
    )


def _after_retries(context: CutoverContext, message: str, reason: Reason) -> Unmet:
    return Failure(message, reason) if context.waited > RETRY_FOR else Waiting(message)


SWITCH_GATES: tuple[Check[CutoverContext], ...] = (
    new_colour_ready,
    pods_are_of_version,
    old_pods_reach_new,
    smoke_passes,
)


# --- Switching -------------------------------------------------------------------------------------------------------


def fence_names_new(context: CutoverContext) -> Unmet | None:
    if context.executes(context.new):
        return None
    gate = worst_unmet(context, SWITCH_GATES)
    return gate or Waiting(f"the fence does not name {context.new.colour} as executor yet")


def routed_to_new(context: CutoverContext) -> Unmet | None:
    """The live Service leads to the new colour and nowhere else."""
    if context.executes(context.new) and not context.ready_pods(context.new):
        return Failure(f"no pod of version {context.new.version} is ready any more", Reason.NOT_READY)
    return _routed_to(context, context.new)


def _routed_to(context: CutoverContext, release: Release) -> Unmet | None:
    if context.routed_to(release):
        return None
    if refusal := context.seen.refusal_of(context.desired.traffic[release.colour].select):
        return Waiting(refusal.message, refusal.reason)
    return Waiting(
        f"the EndpointSlices of Service {context.desired.live_service} do not name only {release.colour} yet"
    )


# --- Monitoring ------------------------------------------------------------------------------------------------------


def new_colour_lives(context: CutoverContext) -> Unmet | None:
    new = context.new
    if not context.ready_pods(new):
        return Failure(f"no pod of version {new.version} is ready any more", Reason.NOT_READY)
    for pod in context.pods(new):
        name = pod["metadata"]["name"]
        if ends(pod) > context.cutover.restarts.get(name, 0):
            return Failure(f"pod {name} of version {new.version} {_how_it_ended(pod)}", Reason.CONTAINER_RESTARTED)
    return None


def new_colour_keeps_its_size(context: CutoverContext) -> Unmet | None:
    """The new colour has the ready pods that it needs, as before the switch; one that lacks some for 45 s fails."""
    if not context.lacks_pods:
        return None
    new = context.new
    diagnosis = diagnose(context.seen, context.workload(new))
    cause = f"; {diagnosis.message}" if diagnosis else ""
    message = (
        f"version {new.version} in {new.colour} has {len(context.ready_pods(new))} of {context.size_monitored} pods "
        f"ready{cause}"
    )
    since = context.cutover.pods_missing_since
    is_room_short = diagnosis is not None and diagnosis.reason is Reason.UNSCHEDULABLE  # no fault of the version
    is_late = since is not None and context.now - since > GIVE_UP_AFTER and not is_room_short
    return Failure(message, diagnosis.reason if diagnosis else Reason.NOT_READY) if is_late else Waiting(message)


def _how_it_ended(pod: Object) -> str:
    if is_evicted(pod):
        return f"was evicted: {pod['status'].get('message', 'the kubelet gives no cause')}"
    code = next((ended["exitCode"] for ended in _last_ends(pod) if "exitCode" in ended), "unknown")
    return f"ended with exit code {code}"


def _last_ends(pod: Object) -> Iterator[Object]:
    for container in pod.get("status", {}).get("containerStatuses") or []:
        if container["name"] == ENGINE_CONTAINER:
            yield (container.get("lastState") or {}).get("terminated") or {}


def new_colour_executes(context: CutoverContext) -> Unmet | None:
    """A colour that is not known to execute is not judged: none of its answers would count."""
    if context.executes(context.new):
        return None
    return Waiting(f"the fence does not name {context.new.colour} as executor")


def limits_kept(context: CutoverContext) -> Unmet | None:
    """What the new colour served since the fence named it is within spec.rollout.monitor."""
    monitor, new = context.engine.spec.rollout.monitor, context.new
    served = evidence.served(context)
    if evidence.exceeds(served, monitor.max_error_percent, monitor.minimum_requests):
        return Failure(
            f"version {new.version} failed {served.server_errors} of {served.requests} requests "
            f"({served.error_percent():.1f} %, allowed are {monitor.max_error_percent:g} %)",
            Reason.TOO_MANY_ERRORS,
        )
    p99 = served.p99_milliseconds()
    if served.requests >= monitor.minimum_requests and p99 > monitor.max_p99_milliseconds:
        return Failure(
            f"the slowest hundredth of {served.requests} requests took version {new.version} "
            f"{p99:.0f} ms (allowed are {monitor.max_p99_milliseconds:g} ms)",
            Reason.TOO_SLOW,
        )
    silent = [cause for cause in context.reports(new) if isinstance(cause, str)]
    return Waiting(f"a pod of version {new.version} does not report: {silent[0]}") if silent else None


def probes_pass(context: CutoverContext) -> Unmet | None:
    """The smoke tests go on all the time: a version that hangs answers nothing, so its traffic says nothing.

    One that fails for RETRY_FOR counts; those that failed of late are to be made up for.
    """
    cutover = context.cutover
    unmet = _smoke(context, context.now - (cutover.smoke_failing_since or context.now))
    if unmet or not cutover.smoke_passes_missing:
        return unmet
    times = cutover.smoke_passes_missing
    return Waiting(f"smoke tests on {context.new.colour} failed a moment ago: they are to pass {times} times more")


def traffic_seen(context: CutoverContext) -> Unmet | None:
    """There was enough traffic to judge by, if spec.rollout.monitor asks for that."""
    monitor, new = context.engine.spec.rollout.monitor, context.new
    if not monitor.require_traffic or context.cutover.judged is Judgement.TRAFFIC:
        return None
    return Waiting(
        f"version {new.version} keeps the traffic and has answered {evidence.served(context).requests} of the "
        f"{monitor.minimum_requests} requests by which it is judged (spec.rollout.monitor.requireTraffic); it waits "
        "for them without end. With requireTraffic false it is promoted by its smoke tests",
        is_endless=True,
    )


def monitored_long_enough(context: CutoverContext) -> Unmet | None:
    cutover, duration = context.cutover, context.engine.spec.rollout.monitor.duration
    left = duration - context.waited
    if cutover.resumed_at:  # this leader's clock may be ahead of the last one's
        left = max(left, cutover.resumed_at + min(duration, WATCH_AFTER_GAP) - context.now)
    if left <= timedelta():
        return None
    until = context.now + left
    return Waiting(f"monitoring version {context.new.version} until {until:%H:%M:%S} UTC")


def old_colour_drained(context: CutoverContext) -> Unmet | None:
    return _drained(context, context.old)


def _drained(context: CutoverContext, release: Release) -> Unmet | None:
    """No WebSocket and no request, as the pods report themselves. After the time for it they still forward.

    However late it is, each pod is asked to drain: the leader that should have done so may have been killed before.
    """
    until, reports = context.drain_until, context.reports(release)
    if context.now >= until + DRAIN_GRACE:
        return None
    if any(isinstance(report, EngineReport) and not report.draining for report in reports):
        return Waiting(f"the pods of version {release.version} in {release.colour} do not drain yet")
    if context.now >= until:
        return None
    for report in reports:
        if isinstance(report, str) or report.websockets or report.quiet_seconds < QUIET_SECONDS:
            return Waiting(f"version {release.version} in {release.colour} drains")
    return None


# --- Promoting -------------------------------------------------------------------------------------------------------


def promoted(context: CutoverContext) -> Unmet | None:
    """The autoscaler scales the new colour."""
    elsewhere = context.autoscaler_elsewhere(context.new)
    if not elsewhere:
        return None
    refusal = context.seen.refusal_of(*elsewhere)
    if refusal:
        return refusal if context.waited > GIVE_UP_AFTER else Waiting(refusal.message)
    autoscaler = elsewhere[0]
    return Waiting(f"{autoscaler['kind']} {autoscaler['metadata']['name']} does not scale {context.new.colour} yet")


# --- RollingBack -----------------------------------------------------------------------------------------------------


def old_colour_is_whole(context: CutoverContext) -> Unmet | None:
    """The old colour has the pods to take the traffic back, where only the user wants that: nothing is wrong.

    A version that fails goes back at once, to however few; so does one that begins to fail while this waits.
    """
    asked_for = context.cutover.reason == Reason.SUPERSEDED and context.executes(context.new)
    if not asked_for or context.old_is_whole or context.waited > WHOLE_TIMEOUT:
        return None
    if context.goes_forward or not context.ready_pods(context.old):
        return None  # fence_names_old says what it waits for
    if isinstance(worst_unmet(context, (new_colour_lives, limits_kept)), Failure):
        return None
    return _too_few_old_pods(context)


def old_colour_can_replace_new(context: CutoverContext) -> Unmet | None:
    """The old colour has enough ready pods for the new ones to end; they end anyway where these may lack their room."""
    if context.cutover.fenced_at is None or context.goes_forward or context.old_is_whole:
        return None
    return None if context.waited > WHOLE_TIMEOUT else _too_few_old_pods(context)


def _too_few_old_pods(context: CutoverContext) -> Waiting:
    old, ready = context.old, len(context.ready_pods(context.old))
    return Waiting(
        f"waiting for pods of version {old.version} in {old.colour}: {ready} of {context.size(old)} ready; version "
        f"{context.new.version} has {len(context.ready_pods(context.new))}"
    )


def fence_names_old(context: CutoverContext) -> Unmet | None:
    if context.went_back:
        return None
    if context.fence_is_gone:
        return Waiting("the database has no fence; the rollback goes on once its data are restored")
    if not context.names(context.old) and not context.ready_pods(context.old):
        return _cannot_go_back(context, f"version {context.new.version} goes on executing")
    return Waiting(f"the fence does not name {context.old.colour} as executor again yet")


def routed_to_old(context: CutoverContext) -> Unmet | None:
    if context.selected() is context.old.colour and not context.cutover.fenced_at:
        return None  # it never left
    if context.goes_forward and context.selected() is context.old.colour:
        return None  # it has no endpoints, and the next version does not wait for them
    if context.went_back and not context.ready_pods(context.old):
        return _cannot_go_back(context, "nothing executes orders")
    return _routed_to(context, context.old)


def old_colour_serves(context: CutoverContext) -> Unmet | None:
    """A pod of the old colour answers the operator that it executes. Where it always has, it is not asked."""
    if context.cutover.fenced_at is None or context.old_serves or context.goes_forward:
        return None
    if context.fence_is_gone:
        return None  # nothing executes, and fence_names_old says why
    silent = [report for report in context.reports(context.old) if isinstance(report, str)]
    message = (
        f"no pod of version {context.old.version} in {context.old.colour} reports that it executes"
        f"{f': {silent[0]}' if silent else ''}"
    )
    if not context.old_is_down:
        return Waiting(message)
    return Failure(f"{message}; {_WAY_OUT}", Reason.CANNOT_ROLL_BACK)


_WAY_OUT = "correct the cause, or set spec to a third version, which then goes forward from here"


def _cannot_go_back(context: CutoverContext, meanwhile: str) -> Failure:
    old, diagnosis = context.old, diagnose(context.seen, context.workload(context.old))
    cause = f": {diagnosis.message}" if diagnosis else ""
    return Failure(
        f"no pod of version {old.version} in {old.colour} is ready to go back to{cause}; {meanwhile}; {_WAY_OUT}",
        Reason.CANNOT_ROLL_BACK,
    )


def new_colour_drained(context: CutoverContext) -> Unmet | None:
    return _drained(context, context.new) if context.cutover.fenced_at and not context.goes_forward else None


def new_colour_empty(context: CutoverContext) -> Unmet | None:
    deployment = context.deployment_of_revision(context.new)
    if deployment is None or context.size(context.new) == 0:
        return None
    return Waiting(f"the pods of version {context.new.version} end")


def reversed_(context: CutoverContext) -> Unmet | None:
    """The expand migrations are taken back, if the new version cannot have executed; they do no harm if they stay."""
    target = context.desired.of(context.new.colour)
    if target is None or not reverses(context) or context.waited > REVERSE_TIMEOUT:
        return None  # the old version runs on what was added
    if unmet := withdrawn_migration_ended(context):
        return unmet
    unmet = job_done(
        context.seen,
        target.reverse,
        Reason.MIGRATION_FAILED,
        "reverse migration",
        waited=context.waited,
        now=context.now,
    )
    return unmet if isinstance(unmet, Waiting) else None


def withdrawn_migration_ended(context: CutoverContext) -> Unmet | None:
    """No pod runs a migration but those of the Job that reverses it: that one would wait for the other's locks."""
    target = context.desired.of(context.new.colour)
    return _no_migration_runs(context, besides=target.reverse["metadata"]["name"] if target else "")


def reverses(context: CutoverContext) -> bool:
    """Whether there may be something to reverse: it migrated, and cannot have executed.

    From Switching on it may have, whatever status says: the status after a move of the fence may have been lost.
    """
    seconds = context.cutover.seconds
    return Phase.MIGRATING in seconds and Phase.SWITCHING not in seconds
