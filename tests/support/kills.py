"""The operator ends before and after what a cutover does, and it changes nothing but the time.

The moments of one cutover are gone through one by one. Each replica is told the moment at which it ends; while the one
that leads comes to its moment, the other already knows the next one, and takes over with it. A replica that ended is
replaced by a new pod, so that no container waits for its restart.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from loads import Load
from operators import arm, disarm, holder, leader_pod, led_by_another, logs
from rtx_demo import installation
from rtx_demo.errors import DemoError
from rtx_demo.kubectl import Kubectl, KubectlError, Object
from upgrades import ROLLOUT, Upgrades

CHAIN_DEADLINE = 400.0
ALWAYS: Object = {
    "selects the active colour": True,
    "executors are the active colour": True,
    "active pods": 2,
    "budget on the active colour": True,
}


def around(*effects: str) -> list[str]:
    """The moments before and after each of them."""
    return [f"{when} {effect}" for effect in effects for when in ("before", "after")]


@dataclass(frozen=True)
class Way:
    """A cutover that is gone through."""

    wish: Object  # fields of spec
    moments: list[str]  # at which the operator ends, in the order in which they come
    end: Object  # fields of the end state
    begins_at: str = ""  # the version that has to be active; any when empty


@dataclass(frozen=True)
class Kill:
    """What came of one."""

    moment: str
    seconds: float  # until another replica led
    failed_requests: int  # since the cutover began


class Killer:
    """Has the operator end at each of `moments`, in their order."""

    def __init__(self, kubectl: Kubectl, moments: list[str]) -> None:
        self._kubectl = kubectl
        self._left = list(moments)
        self._armed: dict[str, tuple[str, int]] = {}  # pod → its moment, and how often it had been started again

    def run(self, done: Callable[[str, float], None]) -> None:
        """Go through all moments; `done` is told each, and the seconds until another replica led."""
        until = time.monotonic() + CHAIN_DEADLINE
        while self._armed:
            self._arm_new()
            for pod in [pod for pod in self._armed if self._has_ended(pod)]:
                (moment, _), ended, dead = self._armed.pop(pod), time.monotonic(), holder(self._kubectl)
                self._replace(pod)
                if dead.partition("_")[0] == pod:
                    led_by_another(self._kubectl, dead)
                done(moment, time.monotonic() - ended)
            if time.monotonic() > until:
                left = [*(moment for moment, _ in self._armed.values()), *self._left]
                raise DemoError(f"The operator never came to: {', '.join(left)}.\n{logs(self._kubectl)}")
            time.sleep(0.2)

    def begin(self) -> None:
        """Tell the leader the first moment and the other replica the second."""
        disarm(self._kubectl)
        self._tell(leader_pod(self._kubectl))
        self._arm_new()

    def _arm_new(self) -> None:
        for pod in installation.pods(self._kubectl):
            name = pod["metadata"]["name"]
            if self._left and name not in self._armed and not pod["metadata"].get("deletionTimestamp"):
                try:
                    self._tell(name)
                except KubectlError:  # its container is not there yet
                    continue

    def _tell(self, pod: str) -> None:
        restarts = self._restarts(pod)
        arm(self._kubectl, pod, self._left[0])
        self._armed[pod] = self._left.pop(0), restarts

    def _has_ended(self, pod: str) -> bool:
        return self._restarts(pod) != self._armed[pod][1]

    def _restarts(self, pod: str) -> int:
        """How often the pod's container was started again or is about to be; -1 when the pod is gone."""
        found = self._kubectl.get("pod", pod, installation.NAMESPACE)
        statuses = (found or {}).get("status", {}).get("containerStatuses", [])
        counted = sum(status["restartCount"] + ("terminated" in status["state"]) for status in statuses)
        return counted if found else -1

    def _replace(self, pod: str) -> None:
        where = ("--namespace", installation.NAMESPACE, "--grace-period=0", "--force")
        self._kubectl.run("delete", "pod", pod, *where, "--ignore-not-found")


def go_through(way: Way, upgrades: Upgrades, loaded: Load) -> list[Kill]:
    """Carry the cutover out, the operator ending at each moment; AssertionError unless it ends as it must."""
    if way.begins_at:
        upgrades.ensure(way.begins_at)
    upgrades.patch(version=upgrades.status()["active"]["version"])
    upgrades.settle()
    failed, kills = loaded.failed(), list[Kill]()
    killer = Killer(upgrades.kubectl, way.moments)
    killer.begin()
    upgrades.begin(**way.wish)
    killer.run(lambda moment, seconds: kills.append(Kill(moment, round(seconds, 1), loaded.failed() - failed)))
    upgrades.wait_until_over()
    upgrades.wait(lambda status: (status.get("previous") or {}).get("state") != "Retiring", "no retirement under way")
    assert {**upgrades.end_state(), **way.end, **ALWAYS} == upgrades.end_state()
    upgrades.restore({"rollout": ROLLOUT})
    return kills
