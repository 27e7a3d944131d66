"""Locks a cluster for one command at a time; the error for the second one names the holder."""

import fcntl
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rtx_lab.errors import LabError

LOCK_FOLDER = Path("/run/lock")


@contextmanager
def held(name: str, folder: Path | None = None, *, wait: bool = False) -> Iterator[None]:
    """Holds the lock `name` during the block, also against other threads.

    When it is held: waits without a deadline if `wait` is set, else raises LabError that names the holder.
    The kernel releases it when the holder ends, so stale locks cannot exist.
    """
    folder = folder or LOCK_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            file.seek(0)
            raise LabError(busy_message(name, file.read())) from None
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "since": time.strftime("%H:%M:%S"), "command": _command()}))
        file.flush()
        yield


def busy_message(name: str, record: str) -> str:
    try:
        holder = json.loads(record)
        who = f"`{holder['command']}` (pid {holder['pid']}, since {holder['since']})"
    except (ValueError, KeyError):
        who = "another command that has just started"
    return f"{name} is locked by {who}: wait for its end, or stop it."


def _command() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
