"""Takes the primary of an engine's database away, each in another way. Native cluster only, but for a deleted pod."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rtx_lab import faults

from . import database, members
from .engine import Engine
from .errors import DemoError
from .kubectl import KubectlError
from .members import Member
from .waiting import eventually

SERVER = "postgres"  # the executable of PostgreSQL's processes
TAKEOVER_DEADLINE_SECONDS = 90.0


def kill(engine: Engine) -> Member:
    """SIGKILL to all of the primary's PostgreSQL processes; Patroni lives. Returns who was the primary."""
    before = members.primary(engine)
    pids = faults.pod_processes_of(before.uid, SERVER)
    if not pids:
        raise DemoError(f"Pod {before.name} runs no process {SERVER}.")
    faults.signal_all(pids, signal.SIGKILL)
    return before


def delete_pod(engine: Engine) -> Member:
    """Delete the primary's pod without a grace period. Returns who was the primary."""
    before = members.primary(engine)
    where = ("--namespace", engine.namespace, "--grace-period=0", "--force", "--wait=false")
    engine.kubectl.run("delete", "pod", before.name, *where)
    return before


def switch_over(engine: Engine) -> Member:
    """Ask Patroni to make a standby the primary, as the operator does for maintenance. Returns who was the primary."""
    before = members.primary(engine)
    candidate = next(member for member in members.standbys(engine) if member.is_streaming)
    name, where = f"{engine.name}-postgres-failover", ("--namespace", engine.namespace)
    request = {"leader": before.name, "member": candidate.name}
    if engine.kubectl.get("configmap", name, engine.namespace) is None:
        with suppress(KubectlError):  # Patroni has made it meanwhile
            engine.kubectl.run("create", "configmap", name, *where)
    patch = json.dumps({"metadata": {"annotations": request}})
    engine.kubectl.run("patch", "configmap", name, *where, "--type=merge", f"--patch={patch}")
    return before


@contextmanager
def frozen(member: Member) -> Iterator[None]:
    """Inside the block nothing of the member's pod runs: neither PostgreSQL nor Patroni."""
    faults.signal_all(faults.pod_processes(member.uid, ""), signal.SIGSTOP)
    try:
        yield
    finally:
        faults.signal_all(faults.pod_processes(member.uid, ""), signal.SIGCONT)


def wait_for_other(engine: Engine, before: Member, *, deadline: float = TAKEOVER_DEADLINE_SECONDS) -> None:
    """Wait until a pod other than `before` is the only primary. Raises DemoError at the deadline."""

    def taken_over() -> bool:
        try:
            return members.primary(engine).uid != before.uid
        except DemoError:
            return False

    eventually(taken_over, f"another primary than {before.name}", deadline=deadline)


def wait_until_writable(engine: Engine, *, deadline: float = TAKEOVER_DEADLINE_SECONDS) -> None:
    """Wait until the primary, the same one or another, takes writes. Raises DemoError at the deadline."""

    def writable() -> bool:
        try:
            return database.psql(engine, "SELECT pg_is_in_recovery();").strip() == "f"
        except DemoError:
            return False

    eventually(writable, "a primary that takes writes", deadline=deadline)
