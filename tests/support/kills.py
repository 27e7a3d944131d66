"""Kills the operator before and after each effect of a cutover, and checks that the cutover ends as without kills.

The kills of one cutover happen one after the other. The leader is armed with the next kill's moment and the standby
with the one after it, so that the standby is ready when it takes over. A killed replica's pod is replaced at once, so
that no test waits for the kubelet's restart delay, and armed at once: the standby may be killed as soon as it leads,
and then the new replica leads.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from loads import Load
from operators import arm_crash, disarm_crashes, leader_pod, lease_holder, replica_logs
from rtx_demo import installation
from rtx_demo.errors import DemoError
from rtx_demo.kubectl import Kubectl, KubectlError, Object
from rtx_operator.api.enums import CutoverPhase
from upgrades import FAST_ROLLOUT, Upgrades, retirement_is_under_way

KILLS_DEADLINE_SECONDS = 400.0  # for all kills of one cutover
POLL_INTERVAL_SECONDS = 0.2
INVARIANTS: Object = {
    "selects the active colour": True,
    "executors are the active colour": True,
    "active pods": 2,
    "budget on the active colour": True,
}


def moment(when: str, phase: CutoverPhase | None, effect: str) -> str:
    """A moment as the operator's crash hook reads it: `when` is before or after, no phase means any phase."""
    return f"{when} {phase}/{effect}" if phase else f"{when} {effect}"


def around(phase: CutoverPhase | None, *effects: str) -> list[str]:
    """The moments before and after each effect."""
    return [moment(when, phase, effect) for effect in effects for when in ("before", "after")]


@dataclass(frozen=True)
class KillScenario:
    """A cutover, and the kills during it."""

    change: Object  # fields of spec that start the cutover
    moments: list[str]  # of the kills, in the order in which the cutover reaches them
    end_state: Object  # expected fields of `Upgrades.end_state`
    initial_version: str = ""  # active when the cutover starts; empty: any


@dataclass(frozen=True)
class Kill:
    """The outcome of one kill."""

    moment: str
    seconds: float  # until another replica led
    failed_requests: int  # since the cutover began


@dataclass(frozen=True)
class _Succession:
    """A killed replica that another one is to succeed."""

    moment: str
    ended: float  # time.monotonic()
    holder: str  # of the Lease, if it was the killed one; else empty


class Killer:
    """Kills the operator at each of `moments`, in their order."""

    def __init__(self, kubectl: Kubectl, moments: list[str]) -> None:
        self._kubectl = kubectl
        self._remaining = list(moments)
        self._armed: dict[str, tuple[str, int]] = {}  # pod → its moment, and its restarts when it was armed
        self._successions: list[_Succession] = []

    def run(self, report: Callable[[str, float], None]) -> None:
        """Wait for each kill and report its moment and the seconds until another replica led.

        Raises DemoError when the operator did not reach all moments within KILLS_DEADLINE_SECONDS.
        """
        until = time.monotonic() + KILLS_DEADLINE_SECONDS
        while self._armed or self._successions:
            self._arm_new()
            for pod in [pod for pod in self._armed if self._has_ended(pod)]:
                (reached, _), ended, holder = self._armed.pop(pod), time.monotonic(), lease_holder(self._kubectl)
                self._successions.append(_Succession(reached, ended, holder if holder.startswith(f"{pod}_") else ""))
                self._replace(pod)
            self._report_those_succeeded(report)
            if time.monotonic() > until:
                missing = [*(armed for armed, _ in self._armed.values()), *self._remaining]
                awaited = f"did not reach {', '.join(missing)}" if missing else "has no leader"
                raise DemoError(f"The operator {awaited}.\n{replica_logs(self._kubectl)}")
            time.sleep(POLL_INTERVAL_SECONDS)

    def _report_those_succeeded(self, report: Callable[[str, float], None]) -> None:
        holder = lease_holder(self._kubectl) if self._successions else ""
        for one in list(self._successions):
            if not one.holder or holder not in {"", one.holder}:
                report(one.moment, time.monotonic() - one.ended)
                self._successions.remove(one)

    def begin(self) -> None:
        """Arm the leader with the first moment and the standby with the second."""
        disarm_crashes(self._kubectl)
        self._arm(leader_pod(self._kubectl))
        self._arm_new()

    def _arm_new(self) -> None:
        for pod in installation.pods(self._kubectl):
            name = pod["metadata"]["name"]
            if self._remaining and name not in self._armed and not pod["metadata"].get("deletionTimestamp"):
                try:
                    self._arm(name)
                except KubectlError:  # its container has not started yet
                    continue

    def _arm(self, pod: str) -> None:
        restarts = self._restarts(pod)
        arm_crash(self._kubectl, pod, self._remaining[0])
        self._armed[pod] = self._remaining.pop(0), restarts

    def _has_ended(self, pod: str) -> bool:
        return self._restarts(pod) != self._armed[pod][1]

    def _restarts(self, pod: str) -> int:
        """The pod's restarts, with one that is about to happen; -1 when the pod is gone."""
        found = self._kubectl.get("pod", pod, installation.NAMESPACE)
        statuses = (found or {}).get("status", {}).get("containerStatuses", [])
        counted = sum(status["restartCount"] + ("terminated" in status["state"]) for status in statuses)
        return counted if found else -1

    def _replace(self, pod: str) -> None:
        where = ("--namespace", installation.NAMESPACE, "--grace-period=0", "--force")
        self._kubectl.run("delete", "pod", pod, *where, "--ignore-not-found")


def run_with_kills(scenario: KillScenario, upgrades: Upgrades, loaded: Load) -> list[Kill]:
    """Run the cutover and kill the operator at each moment; AssertionError when the end state is another one."""
    if scenario.initial_version:
        upgrades.ensure_version(scenario.initial_version)
    upgrades.patch(version=upgrades.status()["active"]["version"])
    upgrades.wait_until_reconciled()
    failed, kills = loaded.failed_requests(), list[Kill]()
    killer = Killer(upgrades.kubectl, scenario.moments)
    killer.begin()
    upgrades.begin(**scenario.change)
    killer.run(
        lambda reached, seconds: kills.append(Kill(reached, round(seconds, 1), loaded.failed_requests() - failed))
    )
    upgrades.wait_until_over()
    upgrades.wait(lambda status: not retirement_is_under_way(status), "no retirement under way")
    assert {**upgrades.end_state(), **scenario.end_state, **INVARIANTS} == upgrades.end_state()
    upgrades.reset_spec({"rollout": FAST_ROLLOUT})
    return kills
