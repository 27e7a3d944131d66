"""A database that shows an earlier state of its data: it was restored, or failed over to a replica that lagged behind.

Its schema may be the one before the last upgrade. So the active release's expand migrations run before the fence moves,
and meanwhile no colour is touched (ADR 0053). A cutover that moves the fence itself has its own gates and way back.
"""

from rtx_operator.api.enums import Reason
from rtx_operator.decision.context import DecisionContext
from rtx_operator.desired.state import job_workload
from rtx_operator.diagnosis import diagnose, lost_pod
from rtx_operator.observation import JobEnd, job_ended
from rtx_operator.results import Failure, Unmet, Waiting


def shows_earlier_data(context: DecisionContext) -> bool:
    """Whether the fence is below the epoch in status, outside of what decides by itself what becomes of that."""
    fence, active, row = context.fence, context.engine.status.active, context.cutover_row
    maintenance = context.state.maintenance_under_way
    if fence is None or active is None or not context.owner.owns(fence) or not context.is_installed:
        return False
    if (row and row.moves_fence_to) or (maintenance and maintenance.phase.replaces_pod):
        return False
    return fence.epoch < active.epoch


def earlier_data_migrated(context: DecisionContext) -> Unmet | None:
    """The Job that makes earlier data fit for the active release is complete; of other data nothing is asked."""
    if not shows_earlier_data(context):
        return None
    wanted, fence, active = context.desired.active.renew, context.fence, context.engine.status.active
    name = wanted["metadata"]["name"]
    job = context.seen.child("Job", name)
    if job_ended(job, JobEnd.COMPLETE):
        return None
    found = (
        f"the database shows an earlier state of its data: epoch {fence.epoch if fence else 0} of the fence, after "
        f"epoch {active.epoch if active else 0}. It was restored, or a replica that lagged behind took over; what was "
        "written since is missing"
    )
    workload = job_workload(wanted)
    if failed := job_ended(job, JobEnd.FAILED):
        cause = failed.get("message", "no detail given")
        return Failure(
            f"{found}. Migration Job {name} failed ({cause}); see kubectl logs job/{name}, correct the cause and "
            "delete the Job to retry",
            Reason.MIGRATION_FAILED,
        )
    if diagnosis := lost_pod(context.seen, workload, context.now) or diagnose(context.seen, workload):
        return Failure(f"{found}. {diagnosis.message}", diagnosis.reason)
    return Waiting(f"{found}. Waiting for migration Job {name} before the fence moves", Reason.DATA_MISSING)
