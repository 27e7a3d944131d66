"""The crash hook: lets a test end the operator exactly before or after one effect. Off unless CRASH_HOOK_FILE is set.

Killing by watching misses what lasts milliseconds. So the operator looks for a file that names the moment, as in
`before MoveFence` or, in one phase only, `after RollingBack/MoveFence`. It takes the file away and is gone, without
cleaning up: neither the Lease is released nor a connection closed.
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
    """When the operator ends, as the file says it."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class CrashHook:
    """Ends this process at the moment that the file `path` names; does nothing without a path."""

    path: Path | None

    def reach(self, moment: Moment, phase: str, effect: str) -> None:
        """Called at each moment: before and after `effect`, in `phase` of a cutover (empty outside of one)."""
        if self.path is None:
            return
        try:
            wanted = self.path.read_text(encoding="utf-8").split()
        except OSError:
            return  # no file, nothing to do
        if wanted not in ([moment.value, effect], [moment.value, f"{phase}/{effect}"]):
            return
        self.path.unlink(missing_ok=True)  # first, so that the next process lives
        log.error("ending, as the crash hook asks", moment=moment.value, phase=phase, effect=effect)
        sys.stdout.flush()
        os._exit(EXIT_CODE)
