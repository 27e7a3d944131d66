"""The checks of Monitoring: the new colour keeps its limits, and the old one drains."""

from collections.abc import Iterator
from datetime import timedelta

from rtx_operator.api.enums import Judgement, Reason
from rtx_operator.diagnosis import diagnose
from rtx_operator.observation import ENGINE_CONTAINER, Object, ends, is_evicted
from rtx_operator.operations.cutover import evidence
from rtx_operator.operations.cutover.checks.shared import drained, smoke_tests_pass
from rtx_operator.operations.cutover.context import CutoverContext
from rtx_operator.operations.jobs import GIVE_UP_AFTER
from rtx_operator.results import Failure, Unmet, Waiting

# Whatever the clock says after nobody has observed the new version for a while, it is watched for so long again.
WATCH_AFTER_GAP = timedelta(seconds=10)
# What an engine pod has to start: its startupProbe, 120 times a second apart.
START_TIME = timedelta(seconds=120)


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
    """The new colour has the ready pods that it needs, as before the switch; one that lacks some for 45 s fails.

    Not for pods that lack room, or whose node is silent, nor for those that were made late and have yet to start.
    """
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
    are_starting = diagnosis is None and context.all_are_new(new, START_TIME)
    is_excused = are_starting or context.room_is_short
    is_late = since is not None and context.now - since > GIVE_UP_AFTER and not is_excused
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
    if served.timed >= monitor.minimum_requests and p99 > monitor.max_p99_milliseconds:
        return Failure(
            f"the slowest hundredth of {served.timed} requests took version {new.version} "
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
    unmet = smoke_tests_pass(context, context.now - (cutover.smoke_failing_since or context.now))
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
    return drained(context, context.old)
