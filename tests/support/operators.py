"""Tests query the operator's replicas (leader, logs) and arm the crash hook that ends one at a given moment."""

import datetime as dt
import time

from rtx_demo import installation
from rtx_demo.errors import DemoError
from rtx_demo.kubectl import Kubectl, KubectlError

CRASH_FILE = "/tmp/crash"  # noqa: S108  in the operator's pod; manifests/local names it
POLL_INTERVAL_SECONDS = 0.3
LEADER_DEADLINE_SECONDS = 60.0
LOG_DEADLINE_SECONDS = 20.0


def lease_holder(kubectl: Kubectl) -> str:
    """The Lease's holder as POD_PROCESS, where a restarted container is another holder; empty when nobody holds it."""
    lease = kubectl.get("lease", installation.DEPLOYMENT, installation.NAMESPACE)
    identity: str = (lease or {}).get("spec", {}).get("holderIdentity") or ""
    return identity


def replica_logs(kubectl: Kubectl, *, lines: int = 40, since: float = 0.0) -> str:
    """The last `lines` of each replica since `since` (Unix seconds), and those of the previous process in its pod."""
    sections, after = [], dt.datetime.fromtimestamp(since, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for pod in installation.pods(kubectl):
        name = pod["metadata"]["name"]
        for which in ("--previous", "--previous=false"):
            where = ("logs", name, "--namespace", installation.NAMESPACE, which)
            try:
                output = kubectl.run(*where, f"--since-time={after}", f"--tail={lines}", deadline=LOG_DEADLINE_SECONDS)
            except KubectlError as error:  # most pods have no previous process
                output = error.reason
            sections.append(f"--- {name} {which}\n{output.rstrip()}")
    return "\n".join(sections)


def leader_pod(kubectl: Kubectl) -> str:
    """The name of the pod that leads; raises DemoError when there is none within LEADER_DEADLINE_SECONDS."""
    until = time.monotonic() + LEADER_DEADLINE_SECONDS
    while time.monotonic() < until:
        leader = installation.leader(kubectl)
        if any(pod["metadata"]["name"] == leader for pod in installation.pods(kubectl)):
            return leader
        time.sleep(POLL_INTERVAL_SECONDS)
    raise DemoError(f"No replica of the operator led within {LEADER_DEADLINE_SECONDS:.0f} s.")


def arm_crash(kubectl: Kubectl, pod: str, moment: str) -> None:
    """Make the operator's process in that pod end itself at `moment`, such as "before Switching/MoveFence"."""
    write = f"printf %s '{moment}' > {CRASH_FILE}.half && mv {CRASH_FILE}.half {CRASH_FILE}"
    kubectl.run("exec", pod, "--namespace", installation.NAMESPACE, "--", "sh", "-c", write)


def disarm_crashes(kubectl: Kubectl) -> None:
    """Take back `arm_crash` in every pod."""
    for pod in installation.pods(kubectl):
        where = ("exec", pod["metadata"]["name"], "--namespace", installation.NAMESPACE)
        try:
            kubectl.run(*where, "--", "rm", "-f", CRASH_FILE)
        except KubectlError:  # the pod is terminating
            continue


def armed_crashes(kubectl: Kubectl) -> dict[str, str]:
    """The pods whose process is still armed, with the moment of each."""
    moments = {}
    for pod in installation.pods(kubectl):
        name = pod["metadata"]["name"]
        where = ("exec", name, "--namespace", installation.NAMESPACE)
        try:
            moments[name] = kubectl.run(*where, "--", "sh", "-c", f"cat {CRASH_FILE} 2>/dev/null || true").strip()
        except KubectlError:  # the pod is terminating
            continue
    return {name: moment for name, moment in moments.items() if moment}


def wait_for_other_leader(kubectl: Kubectl, previous: str, *, deadline: float = LEADER_DEADLINE_SECONDS) -> str:
    """Wait until the Lease has another holder than `previous`. Returns it; raises DemoError at the deadline (s)."""
    until = time.monotonic() + deadline
    while (holder := lease_holder(kubectl)) in {"", previous}:
        if time.monotonic() > until:
            raise DemoError(f"After {deadline:.0f} s no replica but {previous} has taken the Lease.")
        time.sleep(POLL_INTERVAL_SECONDS)
    return holder
