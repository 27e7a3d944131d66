"""A database that shows an earlier state of its data: it was restored, or failed over to a replica that lagged behind.

Its schema may be the one before the last upgrade. So the active release's expand migrations run again. Status
remembers that until they have: the Job is neither pruned nor forgotten, whatever moves the fence meanwhile (ADR 0099).
Outside of a cutover that moves it by its own gates, the fence waits for the Job, and no colour is touched.
"""

from dataclasses import replace
from datetime import timedelta

from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import Reason
from rtx_operator.api.status import EarlierData
from rtx_operator.decision.context import DecisionContext
from rtx_operator.desired.state import job_workload
from rtx_operator.diagnosis import diagnose, lost_pod
from rtx_operator.observation import JobEnd, is_ready, job_ended, revision_of
from rtx_operator.results import Failure, Unmet, Waiting

# An engine pod that finds an earlier schema fails three probes, 2 s apart, and is not ready any more.
PROBED_AFTER = timedelta(seconds=30)


def with_earlier_data(context: DecisionContext) -> TradingEngine:
    """The engine whose status says since when the data are earlier, until they have been migrated again."""
    engine, status = context.engine, context.engine.status
    known = status.earlier_data
    if known is None and status.active is not None and _is_below_known(context):
        noted: EarlierData | None = EarlierData(epoch=status.active.epoch, since=context.now)
    elif known and _is_ours(context) and not _is_below_known(context) and _has_migrated(context):
        noted = None
    else:
        return engine
    return replace(engine, status=status.model_copy(update={"earlier_data": noted}))


def migrates_earlier_data(context: DecisionContext) -> bool:
    """Whether the Job that migrates the data again is to be there: in our own database, whose pod stays."""
    return context.state.earlier_data is not None and _is_ours(context) and not context.state.replaces_database


def shows_earlier_data(context: DecisionContext) -> bool:
    """Whether the fence is below the epoch in status, outside of what moves it by itself."""
    row = context.cutover_row
    return _is_below_known(context) and not (row and row.moves_fence_to)


def earlier_data_migrated(context: DecisionContext) -> Unmet | None:
    """The Job that makes earlier data fit for the active release is complete; of other data nothing is asked.

    Nor where the active release's pods stay ready: they have found their schema.
    """
    if not shows_earlier_data(context) or _has_migrated(context) or _pods_find_their_schema(context):
        return None
    wanted, fence, active = context.desired.active.renew, context.fence, context.engine.status.active
    name = wanted["metadata"]["name"]
    found = (
        f"the database shows an earlier state of its data: epoch {fence.epoch if fence else 0} of the fence, after "
        f"epoch {active.epoch if active else 0}. It was restored, or a replica that lagged behind took over; what was "
        "written since is missing"
    )
    if failed := job_ended(context.seen.child("Job", name), JobEnd.FAILED):
        cause = failed.get("message", "no detail given")
        return Failure(
            f"{found}. Migration Job {name} failed ({cause}); see kubectl logs job/{name}, correct the cause and "
            "delete the Job to retry, or set spec to another version",
            Reason.MIGRATION_FAILED,
        )
    workload = job_workload(wanted)
    if diagnosis := lost_pod(context.seen, workload, context.now) or diagnose(context.seen, workload):
        return Failure(f"{found}. {diagnosis.message}", diagnosis.reason)
    return Waiting(f"{found}. Waiting for migration Job {name} before the fence moves", Reason.DATA_MISSING)


def earlier_data_hold(context: DecisionContext) -> Unmet | None:
    """What the fence and every colour wait for. A Job that cannot be done gives way to another version."""
    unmet, wanted = earlier_data_migrated(context), context.desired.wanted.hash
    gives_way = isinstance(unmet, Failure) and context.state.asks_for_cutover(wanted, context.engine.retry)
    return None if gives_way else unmet


def _is_ours(context: DecisionContext) -> bool:
    return context.fence is not None and context.owner.owns(context.fence)


def _is_below_known(context: DecisionContext) -> bool:
    """Whether our fence is below the epoch in status, and no maintenance decides what becomes of that."""
    fence, active = context.fence, context.engine.status.active
    if fence is None or active is None or not _is_ours(context) or not context.is_installed:
        return False
    return fence.epoch < active.epoch and not context.state.replaces_database


def _has_migrated(context: DecisionContext) -> bool:
    job = context.seen.child("Job", context.desired.active.renew["metadata"]["name"])
    return job_ended(job, JobEnd.COMPLETE) is not None


def _pods_find_their_schema(context: DecisionContext) -> bool:
    known, desired = context.state.earlier_data, context.desired
    if known is None or context.now - known.since < PROBED_AFTER:
        return False
    pods = context.seen.pods_of(desired.engine.pods)
    return any(is_ready(pod) and revision_of(pod) == desired.active.revision.hash for pod in pods)
