"""What people and other tools do by hand to an engine that serves: it goes on, and no request fails."""

import time

import pytest
from loads import Load, assert_kept_across_tests, no_request_fails
from rtx_demo.kubectl import Object
from rtx_demo.waiting import eventually
from rtx_operator.api.enums import CutoverPhase
from upgrades import BROKEN_VERSION, NEW_VERSION, OLD_VERSION, Upgrades, new_revision

pytestmark = pytest.mark.usefixtures("module_engine")

FOREIGN_SECONDS = 20.0  # in which pods of a foreign image would have got ready
WRITERS, PAUSE_SECONDS = 10, 12.0
FOREIGN = f"localhost/rtx-engine:{BROKEN_VERSION}"


def where(upgrades: Upgrades) -> tuple[str, str]:
    return "--namespace", upgrades.engine.namespace


def event_reasons(upgrades: Upgrades) -> set[str]:
    return {event["reason"] for event in upgrades.kubectl.list("events", upgrades.engine.namespace)}


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("set", "env", "{}", "X=1"), ""),  # a field that the operator does not set is left to who set it
        (("rollout", "restart", "{}"), ""),
        (("set", "image", "{}", f"engine={FOREIGN}"), "Repaired"),
        (("scale", "{}", "--replicas=0"), "Scaled"),
    ],
    ids=["set env", "rollout restart", "set image", "scale to 0"],
)
def test_verb_on_the_deployment_of_the_live_colour_fails_no_request(
    upgrades: Upgrades, loaded: Load, command: tuple[str, ...], told: str
) -> None:
    deployment = f"deployment/{upgrades.engine.name}-engine-{upgrades.selected_colour()}"
    with no_request_fails(loaded):
        upgrades.kubectl.run(*(word.format(deployment) for word in command), *where(upgrades))
        # Then no pod of a foreign image ever gets ready.
        until = time.monotonic() + FOREIGN_SECONDS
        while time.monotonic() < until:
            assert not [name for name, image, ready in pods(upgrades) if image == FOREIGN and ready]
            time.sleep(0.2)
        upgrades.wait_until_reconciled()
    # And an Event says what was put right.
    assert not told or told in event_reasons(upgrades)


def test_rollout_undo_of_the_live_colour_fails_no_request(upgrades: Upgrades, loaded: Load) -> None:
    # Given a colour that has had two releases.
    first = upgrades.selected_colour()
    for _ in range(2):
        assert upgrades.upgrade(**new_revision())["phase"] == CutoverPhase.SUCCEEDED
    assert upgrades.selected_colour() == first
    active = upgrades.status()["active"]["revision"]
    with no_request_fails(loaded):
        upgrades.kubectl.run("rollout", "undo", f"deployment/{upgrades.engine.name}-engine-{first}", *where(upgrades))
        time.sleep(FOREIGN_SECONDS)
        upgrades.wait_until_reconciled()
    # Then the live colour's pods are those of the active release.
    assert {pod["metadata"]["labels"]["rtx-trading.com/revision"] for pod in upgrades.pods(first)} == {active}


def test_cache_scaled_to_0_fails_no_request(upgrades: Upgrades, loaded: Load) -> None:
    with no_request_fails(loaded):
        upgrades.kubectl.run("scale", f"statefulset/{upgrades.engine.name}-redis", "--replicas=0", *where(upgrades))
        upgrades.wait_until_reconciled()
        eventually(lambda: "Repaired" in event_reasons(upgrades), "an Event that tells of it")


def test_engine_orphaned_and_applied_again_goes_on_serving(upgrades: Upgrades, loaded: Load) -> None:
    # Given an engine whose green serves, and whose blue is kept.
    while upgrades.selected_colour() != "green":
        assert upgrades.upgrade(**new_revision())["phase"] == CutoverPhase.SUCCEEDED
    before, fence, manifest = names(upgrades), upgrades.fence(), upgrades.engine.read()
    kept = {
        name: manifest["metadata"][name]
        for name in ("name", "namespace", "labels", "annotations")
        if name in manifest["metadata"]
    }
    with no_request_fails(loaded):
        # When it is deleted without its children, and applied again without its status.
        upgrades.kubectl.run("delete", "te", upgrades.engine.name, "--cascade=orphan", *where(upgrades))
        upgrades.kubectl.apply(
            {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": kept, "spec": manifest["spec"]}
        )
        eventually(lambda: upgrades.status().get("active"), "an active release in status")
        status = upgrades.wait_until_reconciled()
        time.sleep(20)
    # Then green is active, the same pods run, and blue is the previous release.
    assert status["active"]["colour"] == "green"
    assert upgrades.fence()["executors"] == fence["executors"] == ["green"]
    assert upgrades.selected_colour() == "green"
    assert names(upgrades) == before
    assert status["previous"]["colour"] == "blue"
    owners = {
        owner["kind"]
        for colour in ("blue", "green")
        for owner in (
            upgrades.kubectl.get("deployment", f"{upgrades.engine.name}-engine-{colour}", upgrades.engine.namespace)
            or {}
        )["metadata"]["ownerReferences"]
    }
    assert owners == {"TradingEngine"}


def test_two_writers_of_one_version_fail_no_request(upgrades: Upgrades, loaded: Load) -> None:
    with no_request_fails(loaded):
        for turn in range(WRITERS):
            upgrades.patch(version=(OLD_VERSION, NEW_VERSION)[turn % 2])
            time.sleep(PAUSE_SECONDS)
        upgrades.wait(
            lambda status: (
                status["active"]["version"] == NEW_VERSION and CutoverPhase(status["cutover"]["phase"]).is_terminal
            ),
            "the last version written",
            deadline=240,
        )
        upgrades.wait_until_reconciled()


def test_no_promise_is_broken_over_all_verbs(loaded: Load) -> None:
    assert_kept_across_tests(loaded)


def pods(upgrades: Upgrades) -> list[tuple[str, str, bool]]:
    """(name, image, is ready) of the engine's pods."""
    found = upgrades.kubectl.list("pods", upgrades.engine.namespace, "app.kubernetes.io/component=engine")
    return [(pod["metadata"]["name"], pod["spec"]["containers"][0]["image"], ready(pod)) for pod in found]


def ready(pod: Object) -> bool:
    return any(
        one["type"] == "Ready" and one["status"] == "True" for one in pod.get("status", {}).get("conditions", [])
    )


def names(upgrades: Upgrades) -> set[str]:
    return {name for name, _, _ in pods(upgrades)}
