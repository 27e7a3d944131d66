"""Checks that several phases share, of the one colour or the other."""

from datetime import timedelta

from rtx_operator.api.enums import Component, Reason
from rtx_operator.api.names import Names
from rtx_operator.api.status import Release
from rtx_operator.desired.state import JOB_LABEL
from rtx_operator.observation import age, hangs
from rtx_operator.operations.cutover.context import CutoverContext
from rtx_operator.pod_reports import EngineReport
from rtx_operator.results import Failure, Unmet, Waiting

# A query that is repeated with each reconcile and fails for this long is no blip.
RETRY_FOR = timedelta(seconds=10)
# A pod that does not drain does not hold up the cutover for ever.
DRAIN_GRACE = timedelta(seconds=15)
QUIET_SECONDS = 5.0  # without a request, after which no client is expected to send one


def no_migration_pod_runs(context: CutoverContext, besides: str = "") -> Unmet | None:
    """No pod runs a migration, but those of the Job `besides`; empty: none at all.

    One that hangs on a lost node is not waited for: the runner of migrations is alone in the database.
    """
    for pod in context.seen.alive(Names(context.engine.name).selector(Component.MIGRATION)):
        name, labels = pod["metadata"]["name"], pod["metadata"].get("labels") or {}
        if not hangs(pod, context.now) and (not besides or labels.get(JOB_LABEL) != besides):
            return Waiting(f"waiting for pod {name} of an earlier migration Job to end; it is {age(pod)}")
    return None


def smoke_tests_pass(context: CutoverContext, failing_for: timedelta) -> Unmet | None:
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


def routed_to(context: CutoverContext, release: Release) -> Unmet | None:
    """The live Service leads to the pods of that release and nowhere else."""
    if context.routed_to(release):
        return None
    if refusal := context.seen.refusal_of(context.desired.traffic[release.colour].select):
        return Waiting(refusal.message, refusal.reason)
    return Waiting(
        f"the EndpointSlices of Service {context.desired.live_service} do not name only {release.colour} yet"
    )


def drained(context: CutoverContext, release: Release) -> Unmet | None:
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
