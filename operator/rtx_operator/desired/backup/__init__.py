"""Backups: pgBackRest's configuration, its certificates and repository, and the Jobs that make a backup."""

from rtx_operator.desired.backup.jobs import backup_job, cron_jobs
from rtx_operator.desired.backup.objects import backup_secret, place_of, repository_objects
from rtx_operator.desired.backup.pods import backs_up, is_to_move, serves_backups
from rtx_operator.desired.backup.request import asked_for

__all__ = [
    "asked_for",
    "backs_up",
    "backup_job",
    "backup_secret",
    "cron_jobs",
    "is_to_move",
    "place_of",
    "repository_objects",
    "serves_backups",
]
