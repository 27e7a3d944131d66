"""For how many full backups the log is kept.

pgBackRest counts backups where we promise days: with one more full backup on demand, a fixed number would keep the log
for a day less.
"""

from collections.abc import Sequence

from rtx_backup.info import Backup

DAY_SECONDS = 86400


def full_backups_with_log(backups: Sequence[Backup], days: int, now: float) -> int:
    """The number of the latest full backups such that every moment of the last `days` can be restored.

    Those of that time, and the one before, from which the log goes on to the first of them. At least one.
    """
    ages = sorted(now - backup.finished for backup in backups if backup.type == "full")
    within = sum(age < days * DAY_SECONDS for age in ages)
    return max(1, min(within + 1, len(ages)))
