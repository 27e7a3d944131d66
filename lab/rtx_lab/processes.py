"""Runs programs to their end, and daemons inside a machine of the cluster (namespaces held by one process)."""

import os
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rtx_lab import cgroups, tasks
from rtx_lab.errors import LabError
from rtx_lab.instance import Instance

POLL_SECONDS = 0.1
# The daemons are Go programs that share this machine's CPUs: they collect garbage a quarter as often as by default. One
# collection of the API server took 0.35 s of CPU (ADR 0019).
_GO_ENVIRONMENT = {"GOGC": "400"}


def run(command: Sequence[object], *, deadline_s: float, stdin: str | None = None) -> str:
    """Runs a program to its end; returns its standard output.

    Raises LabError, with the program's output, when it fails or exceeds `deadline_s`, or when the task that runs it was
    cancelled with its group (`tasks.run_concurrently`).
    """
    words = [str(word) for word in command]
    try:
        result = tasks.run_program(tasks.Command(words, deadline_s, stdin))
    except FileNotFoundError as error:
        raise LabError(f"The program {words[0]} is not installed: `lab up` as root installs it.") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"`{shlex.join(words)}` did not end within {deadline_s:.0f} s.") from error
    if result.returncode:
        raise LabError(f"`{shlex.join(words)}` failed: {(result.stderr or result.stdout).strip()}")
    return result.stdout


def wait_for(what: str, deadline_s: float, condition: Callable[[], bool], hint: Path | None = None) -> None:
    """Polls until `condition` holds. Raises LabError that names `what` and the log `hint` after `deadline_s`."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > deadline:
            see = f"; see {hint}" if hint else ""
            raise LabError(f"Timed out after {deadline_s:.0f} s waiting for {what}{see}.")
        time.sleep(POLL_SECONDS)


def hold_namespaces(instance: Instance, machine: str, script: str) -> None:
    """Starts the process that holds a machine's namespaces, and runs `script` inside them first. Raises LabError.

    The namespaces have no name in the file system: they live as long as their processes, so nothing has to be
    unmounted or deleted when those are killed.
    """
    pid_file = pid_path(instance, machine)
    pid_file.parent.mkdir(parents=True, exist_ok=True)
    done = (
        f"set -e\n{script}\necho $$ >{pid_file}.unfinished\nmv {pid_file}.unfinished {pid_file}\nexec sleep infinity\n"
    )
    command = ["unshare", "--net", "--mount", "--propagation=private", "sh", "-c", done]
    _spawn(instance, machine, f"{machine}-holder", command)
    wait_for(f"the namespaces of {machine}", 10, pid_file.exists, log_path(instance, f"{machine}-holder"))


def tmpfs_mount(instance: Instance, machine: str, folder: Path) -> str:
    """A shell line that mounts `folder` of a machine in memory; it vanishes with the machine."""
    return f"mount -t tmpfs -o mode=0755 {instance.name}-{machine} {folder}"


def holder(instance: Instance, machine: str) -> int:
    """The id of the process that holds a machine's namespaces. Raises LabError when the machine does not exist."""
    try:
        return int(pid_path(instance, machine).read_text())
    except FileNotFoundError:
        raise LabError(f"{instance.name} has no machine {machine}: `lab status` lists them.") from None


def inside(instance: Instance, machine: str, command: Sequence[object]) -> list[str]:
    """The command line that runs `command` inside a machine, in folder /."""
    target = f"--target={holder(instance, machine)}"
    return ["nsenter", target, "--net", "--mount", "--wd=/", *(str(word) for word in command)]


def start_daemon(
    instance: Instance,
    machine: str,
    name: str,
    command: Sequence[object],
    environment: Mapping[str, str] | None = None,
) -> None:
    """Starts a daemon inside a machine; it outlives this process. Its output goes to `logs/NAME.log`."""
    pid = _spawn(instance, machine, name, inside(instance, machine, command), environment)
    folder = instance.run / "daemons"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(str(pid))


def daemons(instance: Instance) -> dict[str, bool]:
    """Whether each daemon still runs, by name."""
    alive = cgroups.processes(instance)
    folder = instance.run / "daemons"
    return {file.name: int(file.read_text()) in alive for file in sorted(folder.iterdir())} if folder.is_dir() else {}


def log_path(instance: Instance, name: str) -> Path:
    return instance.logs / f"{name}.log"


def last_line(instance: Instance, name: str) -> str:
    lines = log_path(instance, name).read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "without output"


def pid_path(instance: Instance, machine: str) -> Path:
    return instance.run / "machines" / machine


def _spawn(
    instance: Instance,
    machine: str,
    name: str,
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
) -> int:
    instance.logs.mkdir(parents=True, exist_ok=True)
    # The shell enters the cgroups before it executes the program: no process of the cluster runs outside of them.
    enter = " && ".join(f"echo 0 >{shlex.quote(str(file))}" for file in cgroups.daemon_procs_files(instance, machine))
    with log_path(instance, name).open("ab") as log:
        process = subprocess.Popen(
            ["sh", "-c", f'{enter} && exec "$@"', "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **_GO_ENVIRONMENT, **(environment or {})},
            start_new_session=True,
        )
    process.returncode = 0  # it outlives this process; prevents Popen's ResourceWarning
    return process.pid
