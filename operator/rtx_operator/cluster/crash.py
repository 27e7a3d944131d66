"""The crash hook: a test ends the operator exactly before or after one effect. Off unless CRASH_HOOK_FILE is set.

A test that watches and then kills misses effects that take milliseconds. So the operator reads a file that names the
moment: `before MoveFence` or, in one phase only, `after RollingBack/MoveFence`. It deletes the file and exits without
cleanup: it neither releases the Lease nor closes a connection.
"""

import os
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import structlog

EXIT_CODE = 137  # as after SIGKILL

log = structlog.get_logger(__name__)


class Moment(StrEnum):
    """The first word of the file: the operator exits before or after the effect."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class CrashHook:
    """Ends this process at the moment named in the file `path`; does nothing without a path."""

    path: Path | None

    def reach(self, moment: Moment, phase: str, effect: str) -> None:
        """Exit if the file names this moment: before or after `effect`; `phase` is empty outside of a cutover."""
        if self.path is None:
            return
        try:
            wanted = self.path.read_text(encoding="utf-8").split()
        except OSError:
            return
        if wanted not in ([moment.value, effect], [moment.value, f"{phase}/{effect}"]):
            return
        self.path.unlink(missing_ok=True)  # first, so that the next process does not exit too
        log.error("the crash hook ends this process", moment=moment.value, phase=phase, effect=effect)
        sys.stdout.flush()
        os._exit(EXIT_CODE)
