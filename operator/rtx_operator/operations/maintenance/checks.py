"""What each phase of a maintenance waits for: chains of checks. Unknown, missing and unanswered is never passed."""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from rtx_operator.api.enums import Component, Reason
from rtx_operator.api.names import Label
from rtx_operator.desired.state import job_workload
from rtx_operator.diagnosis import diagnose
from rtx_operator.observation import JobEnd, Object, is_ready, job_ended
from rtx_operator.operations.jobs import GIVE_UP_AFTER, job_done
from rtx_operator.operations.maintenance.context import MaintenanceContext
from rtx_operator.operations.maintenance.replacement import Turn, next_turn
from rtx_operator.results import Failure, Unmet, Waiting, worst_unmet

# Redis has ten minutes to load its file, by its startup probe. The database's maintenance waits meanwhile.
CACHE_RESTART_TIMEOUT = timedelta(minutes=11)


def slot_is_free(context: MaintenanceContext) -> Unmet | None:
    """Fewer engines than MAX_MAINTENANCE are in maintenance."""
    if context.seen.maintenance_slot:
        return None
    return Waiting("as many engines as MAX_MAINTENANCE of the operator allows are in maintenance; this one waits")


def credentials_known(context: MaintenanceContext) -> Unmet | None:
    """A new pod could not start without its passwords, nor a running engine pod log in after another Secret's."""
    if context.server.password_conflict:
        return Waiting(context.server.password_conflict)
    if context.server.credentials_known:
        return None
    return Waiting("a Secret with the passwords is missing, without which no new pod could start")


def image_and_place_tried(context: MaintenanceContext) -> Unmet | None:
    """The Jobs that try the new pods' image, each where a volume can be, are complete."""
    server = context.server
    if not server.checks:
        return Waiting(f"the volume of PersistentVolumeClaim {server.claims[0]} is not known yet")
    unmet = worst_unmet(context, tuple(partial(_tried, job) for job in server.checks))
    if isinstance(unmet, Failure):
        return Failure(f"{unmet.message}; no running pod was touched", unmet.reason)
    return unmet


def _tried(job: Object, context: MaintenanceContext) -> Unmet | None:
    return job_done(context.seen, job, Reason.CHECK_FAILED, "check", waited=context.waited, now=context.now)


def data_are_migrated(context: MaintenanceContext) -> Unmet | None:
    """No Job that migrates an earlier state of the data runs, which the database's restart would break off.

    One whose pod cannot run is not waited for, nor one that failed: more for the database may be what mends that.
    """
    job = context.desired.active.renew
    name, live = job["metadata"]["name"], context.seen.child("Job", job["metadata"]["name"])
    is_needed = context.component is Component.DATABASE and context.engine.status.earlier_data is not None
    if not is_needed or live is None or any(job_ended(live, end) for end in JobEnd):
        return None
    if diagnose(context.seen, job_workload(job)):
        return None
    return Waiting(f"waiting for migration Job {name} of an earlier state of the data to end", is_endless=True)


def new_pods_ready(context: MaintenanceContext) -> Unmet | None:
    """All pods of the server are of the new revision, ready, and in sync."""
    return _pods_ready(context, context.maintenance.to)


def old_pods_ready(context: MaintenanceContext) -> Unmet | None:
    """All pods of the server are of the revision that ran before, ready, and in sync."""
    return _pods_ready(context, context.maintenance.from_)


def _pods_ready(context: MaintenanceContext, revision: str) -> Unmet | None:
    unmet = _unready(context, revision)
    is_late = context.component is Component.CACHE and context.waited > CACHE_RESTART_TIMEOUT
    if isinstance(unmet, Waiting) and is_late and context.seen.observed_recently:
        return Failure(f"not done after {CACHE_RESTART_TIMEOUT}: {unmet.message}", Reason.DEADLINE_EXCEEDED)
    return unmet


def _unready(context: MaintenanceContext, revision: str) -> Unmet | None:
    turn, workload = next_turn(context, revision), context.server.workload
    pods = context.pods_of(revision)
    unready = [pod for pod in pods if not is_ready(pod)]
    if turn is None and not unready and len(pods) == len(context.pods) == context.server.size:
        return None
    of_revision = replace(workload, pods={**workload.pods, Label.REVISION.value: revision})
    diagnosis = diagnose(context.seen, of_revision if context.server.size > 1 else workload)
    if diagnosis and unready and min(_age(unready[0], context.now), context.waited) > GIVE_UP_AFTER:
        return diagnosis
    if diagnosis:
        return Waiting(diagnosis.message)
    return Waiting(_course(context, turn, unready))


def _course(context: MaintenanceContext, turn: Turn | None, unready: list[Object]) -> str:
    if turn and turn.replace:
        return f"pod {turn.replace['metadata']['name']} is replaced"
    if turn and turn.leader:
        return f"database server {turn.leader.name} takes over"
    first = unready[0]["metadata"]["name"] if unready else f"{context.server.workload.name}-0"
    return turn.waits if turn else f"waiting for pod {first} to be ready"


def _age(pod: Object, now: datetime) -> timedelta:
    created = pod["metadata"].get("creationTimestamp")
    return now - datetime.fromisoformat(created) if created else timedelta()


def data_are_there(context: MaintenanceContext) -> Unmet | None:
    """The database answers, and has this engine's fence, at the epoch that it had before or a later one.

    Nothing is asked of the cache: the engine keeps nothing in Redis that must survive (ADR 0027).
    """
    if context.component is not Component.DATABASE:
        return None
    report = context.seen.database
    if report is None or report.error:
        return Waiting(f"the database does not answer yet: {report.error if report else 'it was not queried'}")
    fence = report.fence
    if fence and context.owner.owns(fence) and fence.epoch >= context.epoch_before:
        return None
    found = f"its fence is {fence.owner}'s, epoch {fence.epoch}" if fence else "it has no fence"
    return Failure(
        f"the restarted database has not the data that it had ({found}): does its image keep them elsewhere?",
        Reason.DATA_MISSING,
    )
