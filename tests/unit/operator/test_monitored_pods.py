"""Pods that are not ready in Monitoring for a cause that is not the version's roll no good version back."""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

import pytest
from cutover_walks import last_result, reconciled
from cutover_world import World, copied
from rtx_operator.api.enums import CutoverPhase, Reason
from rtx_operator.observation import Object, is_out_of_reach
from simulated_api import timestamp

SUCCEEDED = (CutoverPhase.SUCCEEDED, "")
NO_ROOM: Object = {
    "phase": "Pending",
    "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}
    ],
}
CREATING: Object = {
    "phase": "Pending",
    "conditions": [{"type": "PodScheduled", "status": "True"}],
    "containerStatuses": [{"name": "engine", "image": "i", "state": {"waiting": {"reason": "ContainerCreating"}}}],
}
OUT_OF_REACH: Object = {
    "phase": "Running",
    "conditions": [{"type": "Ready", "status": "False"}, {"type": "ContainersReady", "status": "True"}],
}


@pytest.fixture
def monitored(world: World) -> World:
    """A good version that is monitored for five minutes."""
    monitor = {"duration": "5m", "minimumRequests": 20}
    world.set_spec(version="1.1.0", rollout={**world.spec["rollout"], "monitor": monitor})
    assert world.run_until(CutoverPhase.MONITORING)
    reconciled(world, 10)
    return world


def with_kubelet(world: World, status_of: Callable[[str], Object | None]) -> None:
    """Pods have this status from now on; None: as they would have."""
    run_pods = world.run_pods

    def run() -> None:
        run_pods()
        for name, pod in world.pods.items():
            if status := status_of(name):
                world.pods[name] = {**pod, "status": status}

    world.run_pods = run  # type: ignore[method-assign]


def delete(world: World, name: str) -> None:
    pod = world.pods[name]
    world.pods[name] = {**pod, "metadata": {**pod["metadata"], "deletionTimestamp": timestamp(world.now)}}


def new_pods(world: World, before: Collection[str]) -> list[str]:
    return [name for colour in ("blue", "green") for name in world.colour_pods(colour) if name not in before]


def test_lost_node_rolls_no_good_version_back(monitored: World) -> None:
    # Given a node that is lost with a pod of either colour: the node controller marks them not ready, and no kubelet
    # says anything of their containers
    lost = {monitored.colour_pods(colour)[0] for colour in ("blue", "green")}
    with_kubelet(monitored, lambda name: OUT_OF_REACH if name in lost else None)

    # When they are evicted after 300 s, the default toleration, and only then replaced
    reconciled(monitored, 280)
    assert monitored.phase is CutoverPhase.MONITORING
    for name in lost:
        delete(monitored, name)
    lost.clear()
    reconciled(monitored, 120)

    # Then the version is promoted
    assert last_result(monitored) == SUCCEEDED


def test_pod_with_a_readiness_gate_is_not_taken_for_one_of_a_lost_node() -> None:
    gates = {"readinessGates": [{"conditionType": "example.com/registered"}]}
    assert is_out_of_reach({"spec": {}, "status": OUT_OF_REACH})
    assert not is_out_of_reach({"spec": gates, "status": OUT_OF_REACH})


def test_pod_that_finds_room_after_a_minute_rolls_no_good_version_back(monitored: World) -> None:
    # Given a pod that is drained from its node; the next one fits on none until the cluster's autoscaler brings one
    before, status = set(monitored.pods), [NO_ROOM]
    delete(monitored, monitored.colour_pods("green")[0])
    with_kubelet(monitored, lambda name: status[0] if name in new_pods(monitored, before) and status else None)
    reconciled(monitored, 60)
    assert monitored.phase is CutoverPhase.MONITORING

    # When it starts there within three seconds
    status[:] = [CREATING]
    reconciled(monitored, 3)
    status.clear()
    reconciled(monitored, 300)

    # Then the version is promoted
    assert last_result(monitored) == SUCCEEDED


@pytest.mark.parametrize(("seconds", "result"), [(60, SUCCEEDED), (400, (CutoverPhase.ROLLED_BACK, Reason.NOT_READY))])
def test_pods_that_are_made_in_monitoring_have_their_time_to_start(
    monitored: World, seconds: int, result: tuple[str, str]
) -> None:
    # Given pods that take a while to start; their startupProbe gives them two minutes
    before, made = set(monitored.pods), {}

    def starting(name: str) -> Object | None:
        if name not in new_pods(monitored, before):
            return None
        since = made.setdefault(name, monitored.now)
        monitored.pods[name]["metadata"]["creationTimestamp"] = timestamp(since)
        return {"phase": "Running"} if (monitored.now - since).total_seconds() < seconds else None

    with_kubelet(monitored, starting)

    # When the user raises the minimum for the busy hours
    monitored.set_spec(scaling={"minReplicas": 4, "maxReplicas": 4})
    reconciled(monitored, 400)

    # Then a version whose pods start in their time is promoted, and one whose pods do not is not
    assert last_result(monitored) == result


# --- deadlines -------------------------------------------------------------------------------------------------------


def seconds_left(world: World) -> float:
    left = datetime.fromisoformat(world.stored["cutover"]["deadline"]) - world.now
    return left.total_seconds()


def drain_a_node(world: World, seconds: int = 30) -> None:
    """A pod of the new version is deleted; the one that follows needs so long to start."""
    before, until = set(world.pods), world.now + timedelta(seconds=seconds)
    delete(world, world.colour_pods("green")[0])
    with_kubelet(world, lambda name: CREATING if name in new_pods(world, before) and world.now < until else None)


def with_monitor(world: World, **monitor: object) -> None:
    rollout = world.spec["rollout"]
    world.set_spec(rollout={**rollout, "monitor": {**rollout["monitor"], **monitor}})


def test_shorter_time_of_monitoring_leaves_a_pod_that_is_replaced_its_time(monitored: World) -> None:
    # Given a version that was to be monitored for an hour, and has been for some minutes
    with_monitor(monitored, duration="1h")
    reconciled(monitored, 40, seconds=10)

    # When its user is satisfied in the moment in which a node is drained
    drain_a_node(monitored)
    reconciled(monitored, 2)
    with_monitor(monitored, duration="1m")
    reconciled(monitored, 60)

    # Then it is promoted
    assert last_result(monitored) == SUCCEEDED


def test_operator_that_was_away_leaves_a_pod_that_is_replaced_its_time(monitored: World) -> None:
    # Given the nodes of a cluster that are drained: nobody leads for ten minutes
    monitored.tick(600)
    monitored.last_observed = None

    # When a pod of the new version is drained, too
    drain_a_node(monitored)
    reconciled(monitored, 90)

    # Then it is promoted
    assert last_result(monitored) == SUCCEEDED


def test_wait_for_traffic_is_not_ended_by_a_pod_that_is_replaced(world: World) -> None:
    # Given a version that waits for traffic, whose deadline is put off again and again
    world.faults.add("no traffic")
    with_monitor(world, requireTraffic=True)
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MONITORING)
    reconciled(world, 60, seconds=10)
    kept, left = world, seconds_left(world)
    while seconds_left(world) <= left:  # until it is put off
        kept, left = copied(world), seconds_left(world)
        reconciled(world, 1)

    # When a node is drained just before that
    drain_a_node(kept)
    reconciled(kept, 60)

    # Then it waits on
    assert kept.phase is CutoverPhase.MONITORING


@pytest.mark.parametrize("phase", [CutoverPhase.PROVISIONING, CutoverPhase.TESTING])
def test_operator_that_was_away_rejects_no_version_whose_pods_had_no_time(world: World, phase: CutoverPhase) -> None:
    # Given an operator that ends as an upgrade enters a phase, and one that leads after 20 minutes
    world.set_spec(version="1.1.0")
    assert world.run_until(phase)
    world.tick(1200)
    world.last_observed = None

    # When a pod of the new version needs half a minute to start
    before, until = set(world.pods), world.now + timedelta(seconds=30)
    for name in world.colour_pods("green")[:1]:
        delete(world, name)
    with_kubelet(world, lambda name: CREATING if name in new_pods(world, before) and world.now < until else None)
    reconciled(world, 90)

    # Then the version is promoted
    assert last_result(world) == SUCCEEDED
