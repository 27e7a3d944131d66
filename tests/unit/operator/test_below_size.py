"""Why an engine that serves does not come to its size."""

from datetime import timedelta

from cutover_world import World
from rtx_operator.api.enums import ConditionType, Reason
from rtx_operator.decision.outcome import Outcome
from rtx_operator.decision.requeue import WAITING_SECONDS, requeue_after
from rtx_operator.observation import Object

NO_ROOM = "0/3 nodes are available: 3 Insufficient cpu."


def without_room(world: World, seconds: int) -> None:
    """The autoscaler wants four pods, of which no node has room for two: these were made so many seconds ago."""
    world.autoscale(4)
    world.tick()
    fits = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": NO_ROOM}
    made = (world.now - timedelta(seconds=seconds)).isoformat()
    for name in sorted(world.colour_pods("blue"))[2:]:
        meta = {**world.pods[name]["metadata"], "creationTimestamp": made}
        world.pods[name] = {**world.pods[name], "metadata": meta, "status": {"phase": "Pending", "conditions": [fits]}}
    world.run_deployments()
    world.reconcile()


def conditions(world: World) -> dict[str, Object]:
    return {one["type"]: one for one in world.stored["conditions"]}


def test_pods_that_no_node_has_room_for_are_told_of_an_engine_that_serves(world: World) -> None:
    without_room(world, 46)

    told = conditions(world)
    assert (told[ConditionType.READY]["status"], told[ConditionType.READY]["reason"]) == ("True", Reason.SCALING)
    for kind in (ConditionType.READY, ConditionType.RECONCILING):
        assert "2 of 4 engine pods ready" in told[kind]["message"]
        assert NO_ROOM in told[kind]["message"]
    assert told[ConditionType.RECONCILING]["reason"] == Reason.UNSCHEDULABLE
    assert told[ConditionType.STALLED]["status"] == "False"


def test_pods_that_have_just_been_made_are_given_their_time(world: World) -> None:
    without_room(world, 44)

    assert conditions(world)[ConditionType.RECONCILING]["message"] == "2 of 4 engine pods ready"
    assert requeue_after(world.intend().decision, Outcome(), now=world.now, resync=600) == WAITING_SECONDS
