"""Runs pgBackRest: each line that it says is a sign of life, and an error is one sentence."""

import json
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rtx_backup import info

PROGRAM = "rtx-pgbackrest"
# PgBackRest's exit code when another one is at work in this container, and its word for one that is elsewhere.
LOCKED, LOCKED_THERE = 50, "LockAcquireError"
LOCK_RETRY_SECONDS = 5.0
LAST_LINES = 50  # of the output, in which the cause of a failure is looked for


class PgBackRestError(Exception):
    """pgBackRest failed; the message is what it said."""


@dataclass(frozen=True, slots=True)
class Reports:
    """Where the kubelet finds the message, and the file whose time says that the work goes on."""

    message: Path
    heartbeat: Path


@dataclass(frozen=True, slots=True)
class PgBackRest:
    """pgBackRest with the configuration of this container; `options` come before its command."""

    reports: Reports
    options: tuple[str, ...] = ()

    def run(self, *words: str, quiet: bool = False) -> deque[str]:
        """The last lines of its output. Waits while another one holds the lock, which is on the database's server.

        Raises PgBackRestError.
        """
        while True:
            code, lines = self._run_once(*words, quiet=quiet)
            if not code:
                return lines
            cause = info.cause_of(lines)
            if code != LOCKED and LOCKED_THERE not in cause:
                raise PgBackRestError(cause)
            sys.stdout.write(f"{cause}; trying again\n")
            time.sleep(LOCK_RETRY_SECONDS)

    def repository(self) -> info.Repository:
        """What is in it. Raises PgBackRestError."""
        try:
            found = info.read("\n".join(self.run("--output=json", "info", quiet=True)))
        except ValueError as error:
            raise PgBackRestError(f"pgBackRest said of the repository what is no JSON: {error}") from error
        if found.error:
            raise PgBackRestError(found.error)
        return found

    def log_files(self, archive: str) -> Mapping[str, str]:
        """The path of each file of the log in the repository, by its name. Raises PgBackRestError."""
        folder = f"archive/main/{archive}"
        words = ("--recurse", "--output=json", f"--filter=/{info.LOG_FILE}-", "repo-ls", folder)
        found = json.loads("\n".join(self.run(*words, quiet=True)) or "{}")
        return {path.rpartition("/")[2].partition("-")[0]: f"{folder}/{path}" for path in found}

    def read(self, path: str) -> bytes:
        """A file of the repository, decrypted. Raises PgBackRestError."""
        self.reports.heartbeat.touch()
        command = [*self._command("error"), "repo-get", path]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode:
            said = (done.stdout + done.stderr).decode(errors="replace")
            raise PgBackRestError(info.cause_of(said.splitlines()))
        return done.stdout

    def _command(self, level: str) -> list[str]:
        return [PROGRAM, "--stanza=main", f"--log-level-console={level}", *self.options]

    def _run_once(self, *words: str, quiet: bool) -> tuple[int, deque[str]]:
        """Its exit code, and the last lines of its output. At detail, each file has one."""
        command = [*self._command("error" if quiet else "detail"), *words]
        lines = deque[str](maxlen=LAST_LINES)
        # With a wrong passphrase it quotes what it has read, which is no text.
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace"
        ) as process:
            for line in _lines(process):
                self.reports.heartbeat.touch()
                lines.append(line)
                if not quiet and "DETAIL:" not in line:
                    sys.stdout.write(f"{line}\n")
                    sys.stdout.flush()
        return process.returncode, lines


def _lines(process: "subprocess.Popen[str]") -> Iterator[str]:
    for line in process.stdout or ():
        yield line.rstrip("\n")
