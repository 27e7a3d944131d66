"""The kill table: the operator ends before and after each thing a cutover does, and it changes nothing but the time.

The moments of one cutover are gone through one by one. Each replica is told the moment at which it ends; while the one
that leads comes to its moment, the other already knows the next one, and takes over with it. A replica that ended is
replaced by a new pod, so that no container waits for its restart.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from cutover_support import (
    LOAD,
    NEW,
    OLD,
    ROLLOUT,
    Load,
    Upgrades,
    arm,
    assert_kept,
    disarm,
    leader_pod,
    led_by_another,
    load,
    upgradable,
)
from database_support import held_fence
from node_support import frozen
from operator_support import holder, logs
from rtx_demo import database, installation
from rtx_demo.errors import DemoError
from rtx_demo.kubectl import Kubectl, KubectlError, Object
from rtx_demo.sample import Sample
from rtx_demo.waiting import eventually

CHAIN_DEADLINE = 400.0
SMOKE_FAILS: Object = {"smoke": [{"name": "nowhere", "path": "/nowhere"}]}
TOO_SLOW: Object = {"monitor": {"maxP99Milliseconds": 1}}
KEEPS_NOTHING: Object = {"keepPreviousFor": "0s"}


def around(*effects: str) -> list[str]:
    """The moments before and after each of them."""
    return [f"{when} {effect}" for effect in effects for when in ("before", "after")]


@dataclass
class Table:
    """What came of each kill."""

    rows: list[tuple[str, str, float, int]] = field(default_factory=list)

    def add(self, way: str, moment: str, seconds: float, failed: int) -> None:
        self.rows.append((way, moment, seconds, failed))
        print(self.render().splitlines()[-1])

    def render(self) -> str:
        lines = [f"{'way':<28}{'the operator ends':<36}{'led again after':>16}{'failed requests':>17}"]
        lines += [f"{way:<28}{moment:<36}{seconds:>14.1f} s{failed:>17}" for way, moment, seconds, failed in self.rows]
        return "\n".join(lines)


@pytest.fixture(scope="module")
def table() -> Table:
    return Table()


@pytest.fixture(scope="module")
def upgrades(sample: Sample) -> Iterator[Upgrades]:
    with upgradable(sample) as engine:
        yield Upgrades(engine)
        disarm(engine.kubectl)


@pytest.fixture(scope="module")
def loaded(upgrades: Upgrades) -> Iterator[Load]:
    """One load under all of it."""
    with load(upgrades.engine, LOAD) as loaded:
        yield loaded


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


# way → what is asked for, the moments in the order in which they come, and how it must end
WAYS: dict[str, tuple[Object, list[str], Object]] = {
    "back before the switch": (
        {"version": NEW, "rollout": SMOKE_FAILS},
        around("Migrating/Migrate", "Provisioning/Provision", "Provisioning/Resize")
        + around("RollingBack/Empty", "RollingBack/Reverse"),
        {"phase": "RolledBack", "reason": "SmokeFailed", "version": OLD, "rejected": NEW, "idle pods": 0},
    ),
    "back after the switch": (
        {"version": NEW, "rollout": TOO_SLOW},
        [
            *around("RollingBack/MoveFence", "RollingBack/Select"),
            "before RollingBack/Drain",
            *around("RollingBack/Empty"),
        ],
        {"phase": "RolledBack", "reason": "TooSlow", "version": OLD, "rejected": NEW, "idle pods": 0},
    ),
    # By the time that another replica leads, pods that no WebSocket had reached yet are quiet and need no drain.
    "back, and drained": (
        {"version": NEW, "rollout": TOO_SLOW},
        ["after RollingBack/Drain"],
        {"phase": "RolledBack", "reason": "TooSlow", "version": OLD, "rejected": NEW, "idle pods": 0},
    ),
    "upgrade": (
        {"version": NEW, "rollout": ROLLOUT},
        around("Migrating/Migrate", "Provisioning/Provision", "Provisioning/Resize")
        + around("Switching/MoveFence", "Switching/Select", "Monitoring/Drain", "Promoting/Promote"),
        {"phase": "Succeeded", "reason": "", "version": NEW, "previous": OLD, "idle pods": 2},
    ),
    "back to the kept version": (
        {"version": OLD, "rollout": ROLLOUT},
        around("Switching/MoveFence", "Switching/Select", "Monitoring/Drain", "Promoting/Promote"),
        {"phase": "Succeeded", "reason": "", "version": OLD, "previous": NEW, "idle pods": 2},
    ),
    "upgrade and retirement": (
        {"version": NEW, "rollout": KEEPS_NOTHING},
        around("Empty", "Contract"),
        {"phase": "Succeeded", "reason": "", "version": NEW, "previous": "", "idle pods": 0},
    ),
}
ALWAYS: Object = {
    "selects the active colour": True,
    "executors are the active colour": True,
    "active pods": 2,
    "budget on the active colour": True,
}


@pytest.mark.parametrize("way", WAYS)
def test_the_operator_is_killed_before_and_after_each_effect(
    upgrades: Upgrades, loaded: Load, table: Table, way: str
) -> None:
    # given an engine under load, whose spec asks for the version that runs
    wish, moments, end = WAYS[way]
    upgrades.patch(version=upgrades.status()["active"]["version"], rollout=ROLLOUT)
    upgrades.settle()
    failed = loaded.failed()

    # when a cutover begins, and the operator ends before and after each thing it does
    killer = Killer(upgrades.kubectl, moments)
    killer.begin()
    upgrades.begin(**wish)
    killer.run(lambda moment, seconds: table.add(way, moment, seconds, loaded.failed() - failed))

    # then it ends as it would have ended
    upgrades.wait_until_over()
    upgrades.wait(lambda status: (status.get("previous") or {}).get("state") != "Retiring", "no retirement under way")
    assert {**upgrades.end_state(), **end, **ALWAYS} == upgrades.end_state()

    # and no request has failed
    assert loaded.failed() == failed


def test_a_leader_that_was_frozen_in_the_switch_does_no_harm(upgrades: Upgrades, loaded: Load) -> None:
    # given a switch that cannot come about, because a session that is no colour holds the fence
    kubectl, failed = upgrades.kubectl, loaded.failed()
    installation.wait_until_running(kubectl)
    before = holder(kubectl)
    leader = next(pod for pod in installation.pods(kubectl) if pod["metadata"]["name"] == leader_pod(kubectl))
    with held_fence(upgrades.engine):
        upgrades.begin(config={"logLevel": "WARNING"}, rollout=ROLLOUT)
        upgrades.wait_for("Switching")

        # when its leader is frozen, another takes over and ends the cutover, and the frozen one wakes up
        stopped = frozen(leader, "rtx-operator")
        stopped.__enter__()
    try:
        led_by_another(kubectl, before)
        cutover = upgrades.wait_until_over()
    finally:
        stopped.__exit__(None, None, None)
    eventually(lambda: "leadership lost" in logs(kubectl), "the word of the one that woke up")

    # then it wrote nothing more: the end is the other's, and it holds
    assert cutover["phase"] == "Succeeded", cutover
    end = upgrades.end_state()
    assert {**end, **ALWAYS} == end
    assert loaded.failed() == failed


def test_over_the_whole_table_nothing_was_lost(
    upgrades: Upgrades, loaded: Load, table: Table, capsys: pytest.CaptureFixture[str]
) -> None:
    # given the one load that went through all of it, when its ledger is compared with the database
    verdict = loaded.verdict()
    with capsys.disabled():
        print(f"\n{table.render()}\n{verdict.requests} requests, {verdict.orders_acknowledged} orders acknowledged")
        print(f"operator restarts: {len(table.rows)}; fence: {database.psql(upgrades.engine, MOVES).strip()} moves")

    # then no request failed, no order was lost or doubled, and no colour executed that was not named
    assert_kept(verdict)
    assert len(table.rows) == sum(len(moments) for _, moments, _ in WAYS.values())


MOVES = "SELECT count(*) FROM rtx_operator.execution_fence_history;"
