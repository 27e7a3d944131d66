"""Backups: pgBackRest's configuration, its certificates and repository, and the Jobs that make a backup."""

from rtx_operator.desired.backup.jobs import backup_job, cron_jobs
from rtx_operator.desired.backup.objects import backup_folder, backup_secret, repository_objects
from rtx_operator.desired.backup.pods import DATABASE_CONFIGURATION, backs_up, serves_backups
from rtx_operator.desired.backup.request import asked_for

__all__ = [
    "DATABASE_CONFIGURATION",
    "asked_for",
    "backs_up",
    "backup_folder",
    "backup_job",
    "backup_secret",
    "cron_jobs",
    "repository_objects",
    "serves_backups",
]
