"""What a Job of an operation came to, and why it or its pods do not exist or run. Pure."""

from datetime import datetime, timedelta

from rtx_operator.api.enums import Reason
from rtx_operator.desired.state import JOB_LABEL, job_workload
from rtx_operator.diagnosis import diagnose, lost_pod
from rtx_operator.observation import JobEnd, Object, Observation, age, job_ended
from rtx_operator.results import Failure, Unmet, Waiting

# What keeps pods from running may pass (a registry that is away, a node that is full): after this long it does not.
GIVE_UP_AFTER = timedelta(seconds=45)


def job_done(
    seen: Observation, wanted: Object, failure: Reason, what: str, *, waited: timedelta, now: datetime
) -> Unmet | None:
    """None once the Job is complete. `waited` is how long its phase has lasted, `what` the word for it in messages."""
    name = wanted["metadata"]["name"]
    job = seen.child("Job", name)
    if job_ended(job, JobEnd.COMPLETE):
        return None
    if failed := job_ended(job, JobEnd.FAILED):
        cause = _last_line(seen, name) or failed.get("message", "no detail given")
        return Failure(f"{what} Job {name} failed: {cause}; see kubectl logs job/{name}", failure)
    workload = job_workload(wanted)
    diagnosis = (lost_pod(seen, workload, now) or diagnose(seen, workload)) if job else seen.refusal_of(wanted)
    if diagnosis and waited > GIVE_UP_AFTER:
        return diagnosis
    return Waiting(diagnosis.message if diagnosis else f"waiting for {what} Job {name} to end{_held_by(seen, name)}")


def _held_by(seen: Observation, name: str) -> str:
    """What somebody else must end before the Job can: an earlier Job of its name, or sessions in the database."""
    earlier = seen.children.get(("Job", name))
    if earlier and earlier["metadata"].get("deletionTimestamp"):
        return f": an earlier one of this name is {age(earlier)}"
    blocking = seen.database.blocking if seen.database else ()
    if not blocking:
        return ""
    first = blocking[0]
    who = f"{first.name or 'unnamed'}, role {first.role}" + (f", from {first.client}" if first.client else "")
    since = f", in a transaction since {first.since:%Y-%m-%d %H:%M:%S} UTC" if first.since else ""
    more = f" and {len(blocking) - 1} more" if len(blocking) > 1 else ""
    return (
        f"; it waits for database session {first.pid} ({who}, {first.state}{since}){more}. It goes on when that ends; "
        f"to end it: SELECT pg_terminate_backend({first.pid})"
    )


def _last_line(seen: Observation, job: str) -> str:
    """The last line that a pod of the Job wrote before it failed; empty when there is none."""
    for pod in seen.pods_of({JOB_LABEL: job}):
        for container in pod.get("status", {}).get("containerStatuses") or []:
            ended = (container.get("state") or {}).get("terminated") or {}
            if ended.get("exitCode") and ended.get("message", "").strip():
                return str(ended["message"].strip().splitlines()[-1])
    return ""
