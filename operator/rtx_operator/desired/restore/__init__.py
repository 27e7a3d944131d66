"""The Jobs of a restore: each is a step of the program rtx-backup in the database's image."""

from rtx_operator.desired.restore.jobs import DesiredRestore, desired_restore, forget_job

__all__ = ["DesiredRestore", "desired_restore", "forget_job"]
