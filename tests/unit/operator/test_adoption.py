"""What serves is adopted when status is lost, or the engine was orphaned and applied again."""

from typing import Any

import pytest
from cutover_walks import UPGRADE_PHASES, reconciled, upgraded, walk
from cutover_world import World, copied
from retirement_walks import until
from rtx_operator.api.enums import Colour, CutoverPhase, RetirementPhase
from rtx_operator.api.names import Label
from rtx_operator.observation import Object
from simulated_api import label

DEPLOYMENTS = [("Deployment", f"rtx-engine-{colour}") for colour in Colour]


def orphan_and_apply_again(world: World) -> None:
    """`kubectl delete te --cascade=orphan`, then the same YAML again."""
    world.lose_status()
    world.uid = "uid-2"
    for key, child in world.children.items():
        meta = {name: value for name, value in child["metadata"].items() if name != "ownerReferences"}
        world.children[key] = {**child, "metadata": meta}


def installs(world: World) -> set[str]:
    """Names of the Jobs that run both halves of the migrations."""
    return {
        name
        for (kind, name), job in world.children.items()
        if kind == "Job" and job["spec"]["template"]["spec"]["containers"][0]["args"] == ["migrate", "up"]
    }


def owners(child: Object) -> list[str]:
    return [owner["uid"] for owner in child["metadata"].get("ownerReferences", [])]


@pytest.mark.parametrize("lose", [World.lose_status, orphan_and_apply_again])
def test_executing_colour_is_adopted_as_active_and_the_other_one_is_kept(world: World, lose: Any) -> None:
    # Given 1.1.0 in green, and 1.0.0 in blue kept warm
    upgraded(world)
    status, fence, made = world.stored, world.fence, installs(world)
    assert fence is not None

    # When status is lost
    lose(world)
    reconciled(world, 5)

    # Then green stays active, the executor and selected, blue stays the previous one, and nothing was installed
    kept = ("colour", "version", "revision", "configHash")
    assert [world.active[field] for field in kept] == [status["active"][field] for field in kept]
    assert world.fence is not None
    assert (world.fence.executors, world.selected) == (fence.executors, Colour.GREEN)
    assert world.active["epoch"] == world.fence.epoch >= fence.epoch
    assert world.stored["previous"]["revision"] == status["previous"]["revision"]
    assert installs(world) == made
    assert [owners(world.children[key]) for key in DEPLOYMENTS] == [[world.uid]] * 2


@pytest.mark.parametrize("phase", UPGRADE_PHASES)
def test_status_lost_in_any_phase_moves_no_traffic_back_and_the_upgrade_ends(world: World, phase: CutoverPhase) -> None:
    # Given an upgrade in one of its phases
    world.set_spec(version="1.1.0")
    assert world.run_until(phase)
    assert world.fence is not None
    executor, made = world.fence.executors, installs(world)

    # When status is lost
    world.lose_status()
    reconciled(world, 2)

    # Then what executed still does, and the upgrade ends without an installation
    assert world.fence.executors == executor
    world.settle()
    assert world.active["version"] == "1.1.0"
    assert installs(world) == made


def test_adopted_previous_release_is_migrated_before_it_serves_again(world: World) -> None:
    # Given an adopted release in green, and another one beside it
    upgraded(world)
    world.lose_status()
    reconciled(world, 5)

    # When the other one is asked for
    world.set_spec(version="1.0.0")
    phases, _ = walk(world)

    # Then its migrations run: it may never have served
    assert CutoverPhase.MIGRATING in phases
    assert phases[-1] is CutoverPhase.SUCCEEDED


def test_adopted_previous_release_is_retired_in_its_time(world: World) -> None:
    # Given an adopted release, and another one beside it
    upgraded(world)
    orphan_and_apply_again(world)
    reconciled(world, 5)

    # When its time is over
    for _ in range(90):
        reconciled(world, 1)

    # Then it is retired, and green serves
    assert world.stored["retirement"]["phase"] == RetirementPhase.SUCCEEDED
    assert world.colour_pods("blue") == []
    assert (world.active["colour"], world.selected) == (Colour.GREEN, Colour.GREEN)


@pytest.mark.parametrize("lose", [World.lose_status, orphan_and_apply_again])
def test_only_release_is_adopted_after_the_other_one_was_retired(world: World, lose: Any) -> None:
    # Given 1.1.0 in green, and 1.0.0 retired
    upgraded(world)
    assert until(world, RetirementPhase.SUCCEEDED, 120)
    active, made, pods = world.active, installs(world), world.colour_pods(Colour.GREEN)

    # When status is lost
    lose(world)
    reconciled(world, 5)

    # Then green's pods execute and have the traffic, as before, and there is no previous release
    assert (world.active["colour"], world.active["revision"]) == (Colour.GREEN, active["revision"])
    assert world.fence is not None
    assert (world.fence.executors, world.selected) == ((Colour.GREEN,), Colour.GREEN)
    assert "previous" not in world.stored
    assert installs(world) <= made  # a Job that has ended may go
    assert world.colour_pods(Colour.GREEN) == pods

    # And the next upgrade is one
    world.set_spec(version="1.2.0")
    assert walk(world)[0] == UPGRADE_PHASES


def test_other_colour_is_adopted_when_the_executing_one_is_gone(world: World) -> None:
    # Given 1.1.0 in green, 1.0.0 in blue kept warm, a lost status, and a deleted Deployment of green
    upgraded(world)
    made = installs(world)
    world.lose_status()
    del world.children["Deployment", "rtx-engine-green"]

    # When the engine is reconciled
    reconciled(world, 1)

    # Then blue is active, and goes the way of a cutover to what the spec asks for
    assert world.active["version"] == "1.0.0"
    world.settle()
    assert world.active["version"] == "1.1.0"
    assert installs(world) == made


def fresh() -> World:
    world = World()
    spec: dict[str, Any] = {
        "version": "1.0.0",
        "image": {"repository": "example.com/rtx-engine"},
        "credentialsSecretRef": {"name": "mine"},
        "scaling": {"minReplicas": 2, "maxReplicas": 4},
        "rollout": {"drainTimeout": "5s", "monitor": {"duration": "10s", "minimumRequests": 20}},
    }
    world.set_spec(**spec)
    return world


def test_installation_that_never_served_is_changed_in_place() -> None:
    # Given an installation whose pods do not get ready
    world = fresh()
    world.faults.add("unready:1.0.0")
    reconciled(world, 15)
    assert world.colour_pods("blue")

    # When the spec names another version
    world.set_spec(version="1.0.1")
    reconciled(world, 15)

    # Then that one is installed, without a cutover
    assert (world.active["version"], world.active["colour"]) == ("1.0.1", Colour.BLUE)
    assert world.phase is None


def test_installation_is_not_over_when_the_first_of_its_pods_is_ready() -> None:
    # Given an installation whose Deployment has just been made, and Kubernetes is quicker than the operator
    world = fresh()
    while ("Deployment", "rtx-engine-blue") not in world.children:
        world.tick()
        world.reconcile()
    for _ in range(2):
        world.run_deployments()
        world.run_pods()
    assert world.children["Deployment", "rtx-engine-blue"]["status"]["conditions"], "it is complete with one pod"

    # When the operator looks
    world.reconcile()

    # Then the engine is not ready: the spec asks for two
    assert len(world.colour_pods("blue")) == 1
    assert not world.stored.get("active")
    world.settle()
    assert len(world.colour_pods("blue")) == 2
    assert world.active["version"] == "1.0.0"


def test_installation_that_serves_is_left_by_a_cutover() -> None:
    # Given an installation of which one pod is ready, and the other is not
    world = fresh()
    world.faults.add("unready:1.0.0")
    reconciled(world, 15)
    ready = world.colour_pods("blue")[0]
    condition = {"type": "Ready", "status": "True"}
    world.pods[ready] = {**world.pods[ready], "status": {"conditions": [condition]}}
    world.run_deployments()
    made = installs(world)
    assert not world.stored.get("active")

    # When the spec names another version
    world.set_spec(version="1.0.1")
    world.reconcile()

    # Then what serves is active, and no contract migration runs under it
    assert world.active["version"] == "1.0.0"
    world.settle()
    assert (world.active["version"], world.active["colour"]) == ("1.0.1", Colour.GREEN)
    assert installs(world) == made


def test_installation_waits_for_the_pods_of_an_earlier_one(world: World) -> None:
    # Given an engine that was deleted and applied again at once: the garbage collector deletes its Deployment
    made, uid = installs(world), world.uid
    world.lose_status()
    world.uid = "uid-2"
    assert owners(world.children[DEPLOYMENTS[0]]) == [uid]
    world.set_spec(version="1.1.0")

    # When it is reconciled while pods of 1.0.0 execute
    for _ in range(5):
        world.tick()
        world.reconcile()
    message = next(one["message"] for one in world.stored["conditions"] if one["type"] == "Ready")
    migrated_early = installs(world) - made

    # Then it does not migrate under them
    assert not migrated_early
    assert "waiting for pod rtx-engine-blue-" in message

    # When the last of them has ended
    for key in DEPLOYMENTS:
        world.children.pop(key, None)
    world.pods = {name: pod for name, pod in world.pods.items() if label(pod, Label.COLOUR) == ""}
    world.processes.clear()
    world.settle()

    # Then it is installed
    assert world.active["version"] == "1.1.0"


def test_engine_that_is_known_is_not_adopted_again(world: World) -> None:
    # Given an engine whose colours somebody changed by hand
    before = world.active
    again = copied(world)
    again.children["Deployment", "rtx-engine-green"] = again.children["Deployment", "rtx-engine-blue"]

    # When it is reconciled
    reconciled(again, 1)

    # Then status names the same release as active
    assert again.active == before


def test_release_that_was_retired_is_not_adopted_when_what_executes_is_lost_too(world: World) -> None:
    # Given 1.1.0 in green; 1.0.0 in blue was retired: what only it needs is contracted
    upgraded(world)
    assert until(world, RetirementPhase.SUCCEEDED, 60, 10)
    assert world.children["Deployment", "rtx-engine-blue"]["spec"]["replicas"] == 0

    # When status is lost, and with it the Deployment that serves
    world.lose_status()
    del world.children["Deployment", "rtx-engine-green"]
    for pod in world.colour_pods("green"):
        world.pods.pop(pod)
        world.processes.pop(pod)
    seen = []
    for _ in range(60):
        reconciled(world, 1)
        running = world.colour_pods("blue", ready=True)
        if running and world.fence and "blue" in world.fence.executors:
            seen.append(world.pods[running[0]]["metadata"]["labels"]["app.kubernetes.io/version"])

    # Then 1.1.0 comes back, and no pod of 1.0.0 executes orders on a schema that is not its own any more
    assert "1.0.0" not in seen, (seen, world.active)


def test_release_is_adopted_although_somebody_put_a_container_before_the_engines(world: World) -> None:
    # Given a Deployment that another manager has changed
    key, revision = ("Deployment", "rtx-engine-blue"), world.active["revision"]
    live = copied(world).children[key]
    live["spec"]["template"]["spec"]["containers"].insert(0, {"name": "proxy", "image": "proxy"})
    world.children[key] = live

    # When status is lost
    world.lose_status()

    # Then the release that serves is adopted
    active = world.intend().engine.status.active
    assert active
    assert active.revision == revision
