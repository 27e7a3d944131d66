"""What each phase of a retirement waits for: chains of checks. Unknown, missing and unanswered is never passed."""

from datetime import timedelta

from rtx_operator.api.enums import Reason
from rtx_operator.api.names import Label
from rtx_operator.observation import DEADLINE_EXCEEDED, JobEnd, age, job_ended
from rtx_operator.operations.jobs import job_done
from rtx_operator.operations.retirement.context import EMPTYING_TIMEOUT, RetirementContext, still_needed
from rtx_operator.results import Failure, Unmet, Waiting


def active_serves(context: RetirementContext) -> Unmet | None:
    """The active release has its pods, so that nobody needs the way back. A contract Job that runs is not stopped."""
    return Waiting(still_needed(context.desired)) if context.active_is_down and context.contract_job is None else None


def no_pod_left(context: RetirementContext) -> Unmet | None:
    """No pod of an older release can run a process any more."""
    release, left = context.release, context.pods_left
    if context.size and not context.only_active_executes:
        return Waiting(f"the fence does not say that only {context.desired.active.colour} executes")
    if context.size and not context.active_is_selected:
        return Waiting(f"Service {context.desired.live_service} does not select {context.desired.active.colour}")
    if left:
        name, version = left[0]["metadata"]["name"], left[0]["metadata"]["labels"].get(Label.APP_VERSION.value)
        more = f" and {len(left) - 1} more" if len(left) > 1 else ""
        return Waiting(
            f"waiting for pod {name}{more} of version {version} to end ({age(left[0])}); if its node is gone for good: "
            f"kubectl delete pod {name} --force"
        )
    return Waiting(f"Deployment of {release.colour} is not scaled to 0 yet") if context.size else None


def no_pod_left_to_run_beside(context: RetirementContext) -> Unmet | None:
    """The contract Job is not created beside a pod of an older release; given up when that lasts too long."""
    unmet = no_pod_left(context) if context.contract_job is None else None
    late = context.waited > EMPTYING_TIMEOUT and context.seen.observed_recently and context.seen.is_whole
    return Failure(unmet.message, Reason.PODS_REMAIN) if unmet and late else unmet


def no_job_of_an_earlier_try(context: RetirementContext) -> Unmet | None:
    """A contract Job that failed is deleted first: a Job of the same name would not run again."""
    if job_ended(context.contract_job, JobEnd.FAILED) is None:
        return None
    return Waiting("waiting for the contract migration Job of an earlier try to be deleted")


def contracted(context: RetirementContext) -> Unmet | None:
    """The contract migrations have run. What keeps the Job from running may pass until the deadline."""
    job = context.desired.active.contract
    if context.contract_job is None and not context.may_contract:
        return Waiting(_why_not_contracted(context))
    failed = job_ended(context.contract_job, JobEnd.FAILED)
    if failed and failed.get("reason") == DEADLINE_EXCEEDED:
        message = f"contract migration Job {job['metadata']['name']} exceeded its deadline"
        return Failure(message, Reason.DEADLINE_EXCEEDED)
    return job_done(
        context.seen, job, Reason.CONTRACT_FAILED, "contract migration", waited=timedelta(), now=context.now
    )


def _why_not_contracted(context: RetirementContext) -> str:
    if context.engine.status.earlier_data is None:
        return f"the fence does not say that only {context.desired.active.colour} executes"
    name = context.desired.active.renew["metadata"]["name"]
    failed = job_ended(context.seen.child("Job", name), JobEnd.FAILED)
    cause = f", which failed: see kubectl logs job/{name}, correct the cause and delete the Job to retry"
    found = f"the database showed an earlier state of its data; migration Job {name} runs first"
    return f"{found}{cause if failed else ''}"
