"""A PostgreSQL of its own that replays the log up to a target, in the pod of a restore. Nobody can connect to it but
this program; it sends no log anywhere.

The data directory that it leaves was promoted and shut down: Patroni starts it like any other.
"""

import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rtx_backup.targets import Target, TargetKind

POLL_SECONDS = 0.5
LAST_LINES = 200
DATABASE = "trading_engine"
# Nobody executes on restored data before the operator says so. The epoch stays: by it the operator knows these data.
_NOBODY = """
DO $$ BEGIN
    IF to_regclass('rtx_operator.execution_fence') IS NOT NULL THEN
        UPDATE rtx_operator.execution_fence SET executors = '{}';
    END IF;
END $$
"""
_REDO_DONE = re.compile(r"redo done at ([0-9A-F]+/[0-9A-F]+)")
_LAST_COMMIT = re.compile(r"last completed transaction was at log time (\S+ [0-9:.]+)")
_FATAL = re.compile(r"(?:FATAL|PANIC): +(.*)")
_OF_PROGRAM = re.compile(r"ERROR: (\[[0-9]+\]: .*)")


class RecoveryError(Exception):
    """PostgreSQL did not reach the target; the message is one sentence."""


@dataclass(slots=True)
class Recovered:
    """How far the log was replayed, by what PostgreSQL said."""

    position: str = ""  # of the last record
    last_commit: str = ""  # its time, in UTC; empty: there was none since the backup


@dataclass(frozen=True, slots=True)
class Recovery:
    """PostgreSQL on `data`, with the image's configuration from `configuration`; its socket is in `scratch`."""

    data: Path
    scratch: Path
    configuration: Path
    restore_command: str
    alive: Callable[[], None]
    _lines: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))

    def to(self, target: Target) -> Recovered:
        """Replays the log up to the target, and ends with the database shut down. Raises RecoveryError."""
        (self.data / "recovery.signal").touch()
        access = self.scratch / "pg_hba.conf"
        access.write_text("local all postgres trust\n")
        command = ["postgres", "-D", str(self.data), *self._options(target, access)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace"
        ) as process:
            reader = threading.Thread(target=self._read, args=(process,))
            reader.start()
            try:
                self._until_promoted(process)
                self._psql(DATABASE, _NOBODY) if self._has_database() else None
                self._psql("postgres", "CHECKPOINT")
            finally:
                process.send_signal(signal.SIGINT)
                process.wait()
                reader.join()
        return self._said()

    def _options(self, target: Target, access: Path) -> Sequence[str]:
        settings = {
            "config_file": self.configuration,
            "hba_file": access,
            "listen_addresses": "",
            "unix_socket_directories": self.scratch,
            "logging_collector": "off",
            "log_line_prefix": "%m ",
            "log_timezone": "UTC",
            "timezone": "UTC",
            "track_commit_timestamp": "on",
            "hot_standby": "off",
            "restore_command": self.restore_command,
            # What it archives after the promotion stays marked as due: the database sends it to its new folder.
            "archive_mode": "on",
            "archive_command": "false",
            **_target(target),
        }
        return [f"--{name}={value}" for name, value in settings.items()]

    def _read(self, process: "subprocess.Popen[str]") -> None:
        for line in process.stdout or ():
            self._lines.append(line.rstrip("\n"))
            self.alive()
            if "archive command failed" not in line and "The failed archive command was" not in line:
                sys.stdout.write(line)
                sys.stdout.flush()

    def _until_promoted(self, process: "subprocess.Popen[str]") -> None:
        while process.poll() is None:
            asked = self._run("postgres", "SELECT pg_is_in_recovery()")
            if asked.returncode == 0 and asked.stdout.strip() == "f":
                return
            time.sleep(POLL_SECONDS)
        raise RecoveryError(self._cause())

    def _cause(self) -> str:
        text = "\n".join(self._lines)
        of_program, fatal = _OF_PROGRAM.findall(text), _FATAL.findall(text)
        said = self._said()
        if any("before configured recovery target was reached" in one for one in fatal):
            reached = f"the log ended at position {said.position}" + (
                f", after a commit of {said.last_commit} UTC" if said.last_commit else ""
            )
            return "; ".join([f"{reached}, before the target", *of_program[-1:]])
        return "; ".join([*(fatal[:1] or ["PostgreSQL ended, and did not say why"]), *of_program[-1:]])

    def _said(self) -> Recovered:
        text = "\n".join(self._lines)
        position, commit = _REDO_DONE.findall(text), _LAST_COMMIT.findall(text)
        return Recovered(*(position[-1:] or [""]), *(commit[-1:] or [""]))

    def _has_database(self) -> bool:
        return self._psql("postgres", f"SELECT count(*) FROM pg_database WHERE datname = '{DATABASE}'") == "1"  # noqa: S608  # a constant

    def _psql(self, database: str, sql: str) -> str:
        done = self._run(database, sql)
        if done.returncode:
            raise RecoveryError(f"the restored database refused a statement: {done.stderr.strip()}")
        return done.stdout.strip()

    def _run(self, database: str, sql: str) -> "subprocess.CompletedProcess[str]":
        address = [f"--host={self.scratch}", "--username=postgres", f"--dbname={database}"]
        command = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", *address, f"--command={sql}"]
        return subprocess.run(command, capture_output=True, text=True, check=False)


def _target(target: Target) -> dict[str, str]:
    promoted = {"recovery_target_action": "promote"}
    match target.kind:
        case TargetKind.BACKUP:
            return {"recovery_target": "immediate", **promoted}
        case TargetKind.TIME:
            return {"recovery_target_time": target.time.isoformat(), **promoted}
        case TargetKind.LSN:
            return {"recovery_target_lsn": target.lsn, **promoted}
        case TargetKind.NEWEST:
            return {}
