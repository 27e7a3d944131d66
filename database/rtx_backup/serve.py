"""Runs pgBackRest's server, and has it read its certificates again when they are renewed."""

import contextlib
import hashlib
import signal
import subprocess
from pathlib import Path
from types import FrameType

from rtx_backup.pgbackrest import PROGRAM

INTERVAL_SECONDS = 10.0


def serve(folder: Path, interval_seconds: float = INTERVAL_SECONDS) -> int:
    """The server's exit code. SIGTERM ends it."""
    process = subprocess.Popen([PROGRAM, "--log-level-console=info", "server"])

    def end(number: int, _: FrameType | None) -> None:
        process.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    known = _digest(folder)
    while process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(interval_seconds)
        if (found := _digest(folder)) != known:
            known = found
            process.send_signal(signal.SIGHUP)
    return process.returncode


def _digest(folder: Path) -> str:
    """Of the configuration and the certificates; the kubelet replaces all of them at once."""
    digest = hashlib.sha256()
    for file in [*sorted((folder / "tls").iterdir()), folder / "pgbackrest.conf"]:
        if file.is_file():
            digest.update(file.read_bytes())
    return digest.hexdigest()
