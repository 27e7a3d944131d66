"""Waiting for what a cluster does in its own time."""

import time
from collections.abc import Callable

from .errors import DemoError

POLL_SECONDS = 0.5


def eventually(holds: Callable[[], object], what: str, *, deadline: float = 60) -> None:
    """Wait until `holds` is true; raises DemoError, which says what was waited for, at the deadline."""
    until = time.monotonic() + deadline
    while not holds():
        if time.monotonic() > until:
            raise DemoError(f"After {deadline:.0f} s there is still not: {what}.")
        time.sleep(POLL_SECONDS)
