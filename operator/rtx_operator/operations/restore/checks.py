"""What each phase of a restore waits for: chains of checks. Unknown, missing and unanswered is never passed."""

from datetime import timedelta
from functools import partial

from rtx_operator.api import sizes
from rtx_operator.api.enums import BackupType, Component, Reason
from rtx_operator.api.names import InternalKey, StoreKey
from rtx_operator.desired.backup import DATABASE_CONFIGURATION
from rtx_operator.desired.state import JOB_LABEL
from rtx_operator.diagnosis import diagnose
from rtx_operator.observation import JobEnd, Object, executes, job_ended, replicas, secret_text
from rtx_operator.operations.jobs import GIVE_UP_AFTER, job_done
from rtx_operator.operations.restore.context import RestoreContext
from rtx_operator.operations.restore.report import error_of, said_by
from rtx_operator.patroni import Quorum
from rtx_operator.results import Failure, Unmet, Waiting, worst_unmet

# After which a database that does not answer is taken for one that is gone: its pods end next, whatever it does.
SILENT_AFTER = timedelta(seconds=30)
INITIALIZE = "initialize"  # Patroni's annotation: which data the cluster is about


def source_is_known(context: RestoreContext) -> Unmet | None:
    """The engine keeps backups, and the one that source names is among them."""
    name, source, backup = context.engine.name, context.restore.source, context.backup
    if _backup_type(context) is BackupType.NONE:
        message = f"TradingEngine {name} keeps no backups: set its spec.backup.type to where they are, Volume or S3"
        return Failure(message, Reason.NOT_BACKED_UP)
    if source.backup and (backup is None or not context.restore.label):
        what = f"TradingEngineBackup {source.backup}"
        found = f"is {backup.phase or 'new'}" if backup else "does not exist in this namespace"
        return Failure(f"{what} {found}: name one that has succeeded, or a time", Reason.RESTORE_REFUSED)
    if source.backup and backup and not backup.has_succeeded:
        message = f"TradingEngineBackup {source.backup} is {backup.phase}: name one that has succeeded, or a time"
        return Failure(message, Reason.RESTORE_REFUSED)
    return None


def has_volume(context: RestoreContext) -> Unmet | None:
    if context.restore.servers:
        return None
    claim = context.names.claim(Component.DATABASE)
    message = f"the database has no volume to restore to: PersistentVolumeClaim {claim} does not exist"
    return Failure(message, Reason.RESTORE_REFUSED)


def store_has_credentials(context: RestoreContext) -> Unmet | None:
    """Of a bucket of which nobody has the Secret, a Job would say less."""
    store = context.engine.spec.backup.s3
    name = store.credentials_secret_ref.name if store else ""
    secret = context.seen.child("Secret", name)
    if store is None or secret is None:
        return None  # not every Secret is observed: a Job says what it lacks
    missing = [key.value for key in StoreKey if not secret_text(secret, key)]
    return Waiting(f"Secret {name} lacks {', '.join(missing)}; add what is missing") if missing else None


def repository_is_up(context: RestoreContext) -> Unmet | None:
    if _backup_type(context) is not BackupType.VOLUME:
        return None
    live = context.seen.child("StatefulSet", context.names.backup)
    return None if replicas(live)[1] else Waiting("waiting for the repository with the backups: its pod is not ready")


def no_backup_runs(context: RestoreContext) -> Unmet | None:
    """It would fail when the database ends."""
    labels = context.names.selector(Component.BACKUP).items()
    jobs = [job for job in context.seen.children_of("Job") if labels <= (job["metadata"].get("labels") or {}).items()]
    running = sorted(job["metadata"]["name"] for job in jobs if not any(job_ended(job, end) for end in JobEnd))
    if not running:
        return None
    return Waiting(
        f"waiting for Job {running[0]}, which makes a backup; to give that up: kubectl delete job {running[0]}"
    )


def target_is_reachable(context: RestoreContext) -> Unmet | None:
    """A Job has checked it, by the repository alone."""
    jobs = context.desired.restore
    unmet = _job_done(context, jobs.check if jobs else None, "check", Reason.RESTORE_REFUSED)
    if isinstance(unmet, Failure):
        return Failure(f"{unmet.message}; nothing was touched", unmet.reason)
    if unmet is None and not context.restore.label:
        return Failure("the Job that checked the target is complete, and what it said is lost", Reason.RESTORE_REFUSED)
    return unmet


def nobody_executes(context: RestoreContext) -> Unmet | None:
    """The fence names nobody; or the database does not say, and its pods end next: then nobody can execute either."""
    fence, report = context.fence, context.seen.database
    if fence is not None and not fence.executors:
        return None
    if context.answers and fence is not None:
        return Waiting(f"the fence names {' and '.join(fence.executors)} until it has moved", Reason.FENCE_MOVING)
    if context.waited > SILENT_AFTER or context.answers:
        return None
    cause = report.error if report and report.error else "none of its pods is ready"
    return Waiting(f"the database does not answer: {cause}", Reason.DATABASE_UNREACHABLE)


def servers_have_ended(context: RestoreContext) -> Unmet | None:
    """No pod of the database may run a process: it would write to the volumes."""
    if not context.pods:
        return None
    name = context.pods[0]["metadata"]["name"]
    return Waiting(
        f"waiting for pod {name} to end; if its node is gone for good: kubectl delete pod {name} --force",
        Reason.TERMINATING,
    )


def restored(context: RestoreContext) -> Unmet | None:
    """The data are on the volume, beside those of before."""
    jobs = context.desired.restore
    unmet = _job_done(context, jobs.restore if jobs else None, "restore", Reason.RESTORE_FAILED)
    if unmet is None and context.restore.restored is None:
        return Failure("the Job that restored is complete, and what it said is lost", Reason.RESTORE_FAILED)
    return unmet


def swapped(context: RestoreContext) -> Unmet | None:
    """On each volume the data of before are aside, and on the first one the restored data are in their place."""
    jobs = context.desired.restore
    return _jobs_done(context, jobs.swaps if jobs else ())


def undone(context: RestoreContext) -> Unmet | None:
    """On each volume are the data of before. A Job that cannot is repeated when it is deleted."""
    jobs = context.desired.restore
    return _jobs_done(context, jobs.undos if jobs else ())


def unended_swaps(context: RestoreContext) -> tuple[Object, ...]:
    """The Jobs that would still swap the data, as seen."""
    jobs = context.desired.restore.swaps if context.desired.restore else ()
    live = (context.seen.child("Job", job["metadata"]["name"]) for job in jobs)
    return tuple(job for job in live if job and not any(job_ended(job, end) for end in JobEnd))


def nothing_swaps(context: RestoreContext) -> Unmet | None:
    """No pod of a Job that swaps may run a process any more."""
    jobs = context.desired.restore.swaps if context.desired.restore else ()
    alive = [pod for job in jobs for pod in context.seen.alive({JOB_LABEL: job["metadata"]["name"]})]
    if not alive and not unended_swaps(context):
        return None
    return Waiting("waiting for the pods that swap the data to end")


def cluster_is_forgotten(context: RestoreContext) -> Unmet | None:
    """Patroni's ConfigMaps name no leader and no data, so that the first server begins the cluster with what it has."""
    configuration = context.seen.child("ConfigMap", context.names.database_configuration) or {"metadata": {}}
    quorum = Quorum.of(context.seen.child("ConfigMap", context.names.database_quorum))
    if (configuration["metadata"].get("annotations") or {}).get(INITIALIZE) or quorum.leader or quorum.voters:
        return Waiting("Patroni's ConfigMaps still say what the data of before were")
    return None


def folder_is_new(context: RestoreContext) -> Unmet | None:
    """The log of the restored data goes to a folder of its own."""
    internal = context.seen.child("Secret", context.names.internal)
    configuration = context.seen.child("ConfigMap", context.names.backup) or {}
    is_named = f"={context.desired.backup_folder}\n" in (configuration.get("data") or {}).get(
        DATABASE_CONFIGURATION, ""
    )
    if secret_text(internal, InternalKey.BACKUP_INCARNATION) == context.restore.id and is_named:
        return None
    return Waiting("the database gets a new folder in the repository")


def database_answers(context: RestoreContext) -> Unmet | None:
    if context.answers:
        return None
    workload, report = context.desired.database, context.seen.database
    diagnosis = diagnose(context.seen, workload)
    if diagnosis and context.waited > GIVE_UP_AFTER:
        return diagnosis
    cause = report.error if report and report.error else "none of its pods is ready"
    message = diagnosis.message if diagnosis else f"waiting for the database: {cause}"
    return Waiting(message, Reason.DATABASE_STARTING)


def data_are_ours(context: RestoreContext) -> Unmet | None:
    """The restored data have this engine's fence."""
    fence = context.fence
    if not context.answers:
        return Waiting("the database has not said whose data these are", Reason.DATABASE_STARTING)
    if fence is not None and context.owner.owns(fence):
        return None
    found = f"their fence is of TradingEngine {fence.owner}" if fence else "they have no fence"
    return Failure(
        f"the restored data are not those of TradingEngine {context.engine.name}: {found}", Reason.DATA_MISSING
    )


def active_executes(context: RestoreContext) -> Unmet | None:
    """The active colour does, at an epoch above all that were known; or a cutover is stuck that moves the fence."""
    if context.state.cutover_under_way and context.answers:
        return None
    if context.answers and executes(context.fence, [context.desired.active.release], known_epoch=context.known_epoch):
        return None
    earlier = "its migrations run first" if context.state.earlier_data else "moving it"
    colour = context.desired.active.colour
    return Waiting(f"the fence does not name colour {colour} as executor yet: {earlier}", Reason.FENCE_MOVING)


def _backup_type(context: RestoreContext) -> BackupType:
    spec = context.engine.spec
    return sizes.backup_type(spec.environment, spec.backup)


def _jobs_done(context: RestoreContext, jobs: tuple[Object, ...]) -> Unmet | None:
    if not jobs:
        return Waiting("its Jobs are not known")
    return worst_unmet(context, tuple(partial(_job_done, job=job) for job in jobs))


def _job_done(
    context: RestoreContext, job: Object | None, what: str = "restore", reason: Reason = Reason.RESTORE_FAILED
) -> Unmet | None:
    """As `job_done`; of a Job that failed what its program said."""
    if job is None:
        return Waiting("its Jobs are not known")
    live = context.seen.child("Job", job["metadata"]["name"])
    if job_ended(live, JobEnd.FAILED) and (error := error_of(said_by(context.seen, job))):
        return Failure(error, reason)
    return job_done(context.seen, job, reason, what, waited=context.waited, now=context.now)
