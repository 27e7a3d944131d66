"""Polling with a deadline."""

import time
from collections.abc import Callable

from .errors import DemoError

POLL_SECONDS = 0.5


def eventually(holds: Callable[[], object], what: str, *, deadline: float = 60) -> None:
    """Wait until `holds` is true. Raises DemoError that names `what` at the deadline."""
    until = time.monotonic() + deadline
    while not holds():
        if time.monotonic() > until:
            raise DemoError(f"Timed out after {deadline:.0f} s waiting for {what}.")
        time.sleep(POLL_SECONDS)
