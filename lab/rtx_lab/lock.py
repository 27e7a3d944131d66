"""One run at a time may change a cluster; the second is told who holds it."""

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
    """Holds the lock `name` for the block, also against other threads.

    When another has it: waits for as long as that takes if `wait`, else raises LabError naming the holder.
    The kernel frees it when the holder ends, in whatever way: there is no stale lock to remove.
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
        who = "another run that has just begun"
    return f"{name} is held by {who}; wait until it has ended, or stop it."


def _command() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
