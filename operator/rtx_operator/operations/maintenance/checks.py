"""What each phase of a maintenance waits for: chains of checks. Unknown, missing and unanswered is never passed."""

from datetime import datetime, timedelta

from rtx_operator.api.enums import Component, Reason
from rtx_operator.diagnosis import diagnose
from rtx_operator.observation import Object, Owner, is_ready, revision_of
from rtx_operator.operations.jobs import GIVE_UP_AFTER, job_done
from rtx_operator.operations.maintenance.context import MaintenanceContext
from rtx_operator.results import Failure, Unmet, Waiting


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
    """The Job that tries the new pod's image, where the volume can be, is complete."""
    server = context.server
    if server.check is None:
        return Waiting(f"the volume of PersistentVolumeClaim {server.claim} is not known yet")
    unmet = job_done(context.seen, server.check, Reason.CHECK_FAILED, "check", waited=context.waited, now=context.now)
    if isinstance(unmet, Failure):
        return Failure(f"{unmet.message}; the running pod was not touched", unmet.reason)
    return unmet


def new_pod_ready(context: MaintenanceContext) -> Unmet | None:
    """The server's only pod is ready, and of the new revision."""
    return _pod_ready(context, context.maintenance.to)


def old_pod_ready(context: MaintenanceContext) -> Unmet | None:
    """The server's only pod is ready, and of the revision that ran before."""
    return _pod_ready(context, context.maintenance.from_)


def _pod_ready(context: MaintenanceContext, revision: str) -> Unmet | None:
    workload = context.server.workload
    if others := [pod for pod in context.pods if revision_of(pod) != revision]:
        name = others[0]["metadata"]["name"]
        return Waiting(
            f"waiting for pod {name} of another revision to end; if its node is gone for good: "
            f"kubectl delete pod {name} --force"
        )
    pods = context.pods_of(revision)
    if pods and all(is_ready(pod) for pod in pods) and len(pods) == len(context.pods):
        return None
    diagnosis = diagnose(context.seen, workload)
    if diagnosis and pods and min(_age(pods[0], context.now), context.waited) > GIVE_UP_AFTER:
        return diagnosis
    return Waiting(diagnosis.message if diagnosis else f"waiting for pod {workload.name}-0 to be ready")


def _age(pod: Object, now: datetime) -> timedelta:
    created = pod["metadata"].get("creationTimestamp")
    return now - datetime.fromisoformat(created) if created else timedelta()


def data_are_there(context: MaintenanceContext) -> Unmet | None:
    """The database answers, and has this engine's fence, at the epoch that status knows or a later one.

    Nothing is asked of the cache: the engine keeps nothing in Redis that must survive (ADR 0027).
    """
    if context.component is not Component.DATABASE:
        return None
    report, active = context.seen.database, context.engine.status.active
    if report is None or report.error:
        return Waiting(f"the database does not answer yet: {report.error if report else 'it was not queried'}")
    owner = Owner(context.engine.namespace, context.engine.name, context.engine.uid)
    fence = report.fence
    if fence and owner.owns(fence) and fence.epoch >= (active.epoch if active else 0):
        return None
    found = f"its fence is {fence.owner}'s, epoch {fence.epoch}" if fence else "it has no fence"
    return Failure(
        f"the restarted database has not the data that it had ({found}): does its image keep them elsewhere?",
        Reason.DATA_MISSING,
    )
