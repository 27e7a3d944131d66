"""The operator's replicas as tests see and break them: who leads, what they logged, the instant at which one ends."""

import datetime as dt
import time

from rtx_demo import installation
from rtx_demo.errors import DemoError
from rtx_demo.kubectl import Kubectl, KubectlError

CRASH_FILE = "/tmp/crash"  # noqa: S108  in the operator's pod; manifests/local names it
INTERVAL = 0.3


def holder(kubectl: Kubectl) -> str:
    """Who holds the Lease: POD_PROCESS, so that a container that was started anew is somebody else."""
    lease = kubectl.get("lease", installation.DEPLOYMENT, installation.NAMESPACE)
    identity: str = (lease or {}).get("spec", {}).get("holderIdentity") or ""
    return identity


def logs(kubectl: Kubectl, *, lines: int = 40, since: float = 0.0) -> str:
    """The last lines that each replica, and the process before it in its pod, wrote since then (Unix seconds)."""
    told, after = [], dt.datetime.fromtimestamp(since, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for pod in installation.pods(kubectl):
        name = pod["metadata"]["name"]
        for which in ("--previous", "--previous=false"):
            where = ("logs", name, "--namespace", installation.NAMESPACE, which)
            try:
                said = kubectl.run(*where, f"--since-time={after}", f"--tail={lines}", deadline=20)
            except KubectlError as error:  # most pods have no process before the first
                said = error.reason
            told.append(f"--- {name} {which}\n{said.rstrip()}")
    return "\n".join(told)


def leader_pod(kubectl: Kubectl) -> str:
    """The pod that leads; raises DemoError when none does for a minute."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        leader = installation.leader(kubectl)
        if any(pod["metadata"]["name"] == leader for pod in installation.pods(kubectl)):
            return leader
        time.sleep(INTERVAL)
    raise DemoError("No replica of the operator has led for a minute.")


def arm(kubectl: Kubectl, pod: str, moment: str) -> None:
    """Have the operator's process in that pod end itself at `moment`, such as "before Switching/MoveFence"."""
    write = f"printf %s '{moment}' > {CRASH_FILE}.half && mv {CRASH_FILE}.half {CRASH_FILE}"
    kubectl.run("exec", pod, "--namespace", installation.NAMESPACE, "--", "sh", "-c", write)


def disarm(kubectl: Kubectl) -> None:
    for pod in installation.pods(kubectl):
        where = ("exec", pod["metadata"]["name"], "--namespace", installation.NAMESPACE)
        try:
            kubectl.run(*where, "--", "rm", "-f", CRASH_FILE)
        except KubectlError:  # a pod that is on its way out
            continue


def armed(kubectl: Kubectl) -> dict[str, str]:
    """The pods whose process is still to end, and the moment of each."""
    told = {}
    for pod in installation.pods(kubectl):
        name = pod["metadata"]["name"]
        where = ("exec", name, "--namespace", installation.NAMESPACE)
        try:
            told[name] = kubectl.run(*where, "--", "sh", "-c", f"cat {CRASH_FILE} 2>/dev/null || true").strip()
        except KubectlError:  # a pod that is on its way out
            continue
    return {name: moment for name, moment in told.items() if moment}


def led_by_another(kubectl: Kubectl, than: str, *, deadline: float = 60) -> str:
    """The Lease's holder once it is somebody else."""
    until = time.monotonic() + deadline
    while (now := holder(kubectl)) in {"", than}:
        if time.monotonic() > until:
            raise DemoError(f"After {deadline:.0f} s {than} still holds the Lease.")
        time.sleep(INTERVAL)
    return now
