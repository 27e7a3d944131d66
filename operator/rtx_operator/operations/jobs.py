"""What a Job of an operation came to, and why its pods do not run. Pure."""

from datetime import timedelta

from rtx_operator.api.enums import Reason
from rtx_operator.desired.state import JOB_LABEL, job_workload
from rtx_operator.diagnosis import diagnose
from rtx_operator.observation import JobEnd, Object, Observation, job_ended
from rtx_operator.results import Failure, Unmet, Waiting

# What keeps pods from running may pass (a registry that is away, a node that is full): after this long it does not.
GIVE_UP_AFTER = timedelta(seconds=45)


def job_done(seen: Observation, wanted: Object, failure: Reason, what: str, waited: timedelta) -> Unmet | None:
    """None once the Job is complete. `waited` is how long its phase has lasted, `what` the word for it in messages."""
    name = wanted["metadata"]["name"]
    job = seen.child("Job", name)
    if job_ended(job, JobEnd.COMPLETE):
        return None
    if failed := job_ended(job, JobEnd.FAILED):
        cause = _last_line(seen, name) or failed.get("message", "no detail given")
        return Failure(f"{what} Job {name} failed: {cause}; see kubectl logs job/{name}", failure)
    diagnosis = diagnose(seen, job_workload(wanted)) if job else None
    if diagnosis and waited > GIVE_UP_AFTER:
        return diagnosis
    return Waiting(diagnosis.message if diagnosis else f"waiting for {what} Job {name} to end")


def _last_line(seen: Observation, job: str) -> str:
    """The last line that a pod of the Job wrote before it failed; empty when there is none."""
    for pod in seen.pods_of({JOB_LABEL: job}):
        for container in pod.get("status", {}).get("containerStatuses") or []:
            ended = (container.get("state") or {}).get("terminated") or {}
            if ended.get("exitCode") and ended.get("message", "").strip():
                return str(ended["message"].strip().splitlines()[-1])
    return ""
