"""The checks of each phase of a backup. Pure."""

from rtx_operator.api.enums import Reason
from rtx_operator.api.names import REFRESH
from rtx_operator.desired.state import JOB_LABEL, Workload
from rtx_operator.diagnosis import diagnose
from rtx_operator.observation import JobEnd, job_ended
from rtx_operator.operations.backup.context import BackupContext
from rtx_operator.results import Failure, Unmet, Waiting


def engine_exists(context: BackupContext) -> Unmet | None:
    """It may be created after the backup that names it."""
    if context.engine is not None:
        return None
    return Waiting(
        f"there is no TradingEngine {context.backup.spec.engine} in namespace {context.backup.namespace}: create it, "
        "or delete this backup and name another one",
        Reason.ENGINE_MISSING,
    )


def engine_keeps_backups(context: BackupContext) -> Unmet | None:
    if context.engine is None or context.keeps_backups:
        return None
    name = context.backup.spec.engine
    message = f"TradingEngine {name} keeps no backups: set its spec.backup.type to Volume or S3"
    return Failure(message, Reason.NOT_BACKED_UP)


def engine_is_not_paused(context: BackupContext) -> Unmet | None:
    if context.engine is None or not context.engine.spec.paused:
        return None
    return Waiting(f"TradingEngine {context.backup.spec.engine} is paused: set its spec.paused to false", Reason.PAUSED)


def store_has_credentials(context: BackupContext) -> Unmet | None:
    if context.engine is None or not (missing := context.missing_keys):
        return None
    store = context.engine.spec.backup.s3
    name = store.credentials_secret_ref.name if store else ""
    return Waiting(
        f"Secret {name}, named by spec.backup.s3.credentialsSecretRef, lacks {', '.join(missing)}; add what is missing",
        Reason.CREDENTIALS_MISSING,
    )


def database_is_prepared(context: BackupContext) -> Unmet | None:
    """A database of an earlier release, or of before spec asked for backups, gets the server by a maintenance."""
    name = context.backup.spec.engine
    if context.is_to_move:
        return Waiting(
            f"waiting for the maintenance that restarts the database of TradingEngine {name} with the access to the "
            "repository that its spec.backup names",
            Reason.BACKUP_UNPREPARED,
        )
    if context.is_prepared:
        return None
    return Waiting(
        f"the database of TradingEngine {name} runs without the server that backups are read from; to restart it with "
        f"that: kubectl annotate te {name} -n {context.backup.namespace} {REFRESH}=$(date +%s) --overwrite",
        Reason.BACKUP_UNPREPARED,
    )


def servers_are_up(context: BackupContext) -> Unmet | None:
    for is_up, what in ((context.database_is_up, "database"), (context.repository_is_up, "repository")):
        if not is_up:
            return Waiting(f"waiting for the {what} of TradingEngine {context.backup.spec.engine}: no pod is ready")
    return None


def no_other_runs(context: BackupContext) -> Unmet | None:
    others = context.others
    return Waiting(f"waiting for Job {others[0]}, which makes another backup") if others else None


def job_exists(context: BackupContext) -> Unmet | None:
    return None if context.job else Waiting("its Job is to be made")


def made(context: BackupContext) -> Unmet | None:
    """The Job's pod said what it made. A Job that fails tries once more."""
    job, name = context.job, context.record.job
    report = context.report
    if job is None:
        return Failure(f"Job {name} was deleted before it had ended", Reason.BACKUP_FAILED)
    if failed := job_ended(job, JobEnd.FAILED):
        said = report.error if report and report.error else str(failed.get("message", "no detail given"))
        return Failure(f"Job {name} failed: {said}; see kubectl logs job/{name}", Reason.BACKUP_FAILED)
    if job_ended(job, JobEnd.COMPLETE):
        return _verified(context)
    diagnosis = diagnose(context.seen, Workload("Job", name, {JOB_LABEL: name}))
    return Waiting(diagnosis.message if diagnosis else f"waiting for Job {name} to end")


def _verified(context: BackupContext) -> Unmet | None:
    report, name = context.report, context.record.job
    if report is None or report.made is None:
        what = report.error if report else "its pod is gone"
        return Failure(
            f"Job {name} is complete, and what it made is not known: {what}; the next backup shows what the repository "
            "has",
            Reason.BACKUP_UNREPORTED,
        )
    if not report.made.wal_verified:
        return Failure(
            f"backup {report.made.label} was made, but the repository lacks log between {report.made.wal_start} and "
            f"{report.made.wal_stop}, without which it cannot be restored",
            Reason.BACKUP_FAILED,
        )
    if report.made.has_errors:
        return Failure(
            f"backup {report.made.label} was made, and pages of the database in it have wrong checksums: the log of "
            f"Job {name} names their files; repair the database, or restore an earlier backup",
            Reason.BACKUP_FAILED,
        )
    return None
