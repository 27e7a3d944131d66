"""What another release of the operator does with engines that run: nothing, until their users ask for something."""

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from cutover_walks import reconciled, upgraded
from cutover_world import World
from desired_states import forget_desired_states
from operator_release import DEPLOYMENT, JOB, another_variable, edited_template
from rtx_operator.api.enums import ConditionType, CutoverPhase, Reason
from rtx_operator.observation import Object

Release = Callable[[], AbstractContextManager[None]]
STANDBY = (
    "          - {name: JWT_SECRET_STANDBY, valueFrom: "
    "{secretKeyRef: {name: {{ credentials }}, key: JWT_SECRET_STANDBY, optional: true}}}\n"
)
PROBES = ("periodSeconds: 2", "periodSeconds: 5")


@contextmanager
def edited_job() -> Iterator[None]:
    with edited_template(JOB, "backoffLimit: 3", "backoffLimit: 5"):
        yield


@contextmanager
def edited_pods() -> Iterator[None]:
    with edited_template(DEPLOYMENT, *PROBES):
        yield


def everything() -> AbstractContextManager[None]:
    return _all(edited_pods, edited_job, another_variable)


@contextmanager
def _all(*releases: Release) -> Iterator[None]:
    if not releases:
        yield
        return
    with releases[0](), _all(*releases[1:]):
        yield


RELEASES = pytest.mark.parametrize("release", [edited_pods, edited_job, another_variable, everything])


def pods_of(world: World) -> dict[str, Object]:
    return copy.deepcopy(world.pods)


def template(world: World, colour: str) -> Object:
    found: Object = world.children["Deployment", f"rtx-engine-{colour}"]["spec"]["template"]
    return found


def condition(world: World, kind: ConditionType) -> Object:
    return next(one for one in world.stored["conditions"] if one["type"] == kind)


@RELEASES
def test_another_release_changes_no_engine_that_runs(world: World, release: Release) -> None:
    # Given an engine that runs, with a kept previous release
    upgraded(world)
    before, cutover = pods_of(world), world.stored["cutover"]["id"]

    # When another release of the operator reconciles it
    with release():
        reconciled(world, 10)

    # Then no pod is replaced, and no cutover begins
    assert set(world.pods) == set(before)
    assert world.stored["cutover"]["id"] == cutover


@RELEASES
def test_colour_is_repaired_as_it_was_made(world: World, release: Release) -> None:
    made = copy.deepcopy(template(world, "blue"))
    # Given another release, and a person who deletes Deployment and ConfigMap of what runs
    config = next(name for kind, name in world.children if kind == "ConfigMap" and "-engine-" in name)
    data = world.children["ConfigMap", config]["data"]
    with release():
        del world.children["Deployment", "rtx-engine-blue"]
        del world.children["ConfigMap", config]

        # When they are created again
        reconciled(world, 10)

    # Then they are as they were made
    assert template(world, "blue") == made
    assert world.children["ConfigMap", config]["data"] == data


def test_next_cutover_has_the_templates_of_the_present_release(world: World) -> None:
    # Given another release, and an engine that runs as the last one made it
    with everything():
        reconciled(world, 10)

        # When its version changes
        world.set_spec(version="1.1.0")
        assert world.run_until(CutoverPhase.SUCCEEDED)

    # Then the new colour is as the new release makes it, and the kept one as it was
    assert template(world, "green")["spec"]["containers"][0]["readinessProbe"]["periodSeconds"] == 5
    assert template(world, "blue")["spec"]["containers"][0]["readinessProbe"]["periodSeconds"] == 2


def test_kept_colour_comes_back_as_it_was_made(world: World) -> None:
    # Given a release kept in blue that the last operator made, and a newer operator
    made = copy.deepcopy(template(world, "blue"))
    upgraded(world)
    with everything():
        reconciled(world, 10)

        # When spec goes back to it
        world.set_spec(version="1.0.0")
        assert world.run_until(CutoverPhase.SUCCEEDED)

    # Then it is the switch back to the kept pods
    assert "Migrating" not in world.stored["cutover"]["seconds"]
    assert template(world, "blue") == made


@pytest.mark.parametrize(
    "phase",
    [
        CutoverPhase.MIGRATING,
        CutoverPhase.PROVISIONING,
        CutoverPhase.TESTING,
        CutoverPhase.SWITCHING,
        CutoverPhase.MONITORING,
        CutoverPhase.PROMOTING,
    ],
)
def test_another_release_finishes_a_cutover_as_it_was_begun(world: World, phase: CutoverPhase) -> None:
    # Given a cutover under way
    world.set_spec(version="1.1.0")
    assert world.run_until(phase)
    if phase is not CutoverPhase.PROMOTING:  # which one more reconcile ends
        world.reconcile()
    cutover = world.stored["cutover"]["id"]

    # When another release of the operator takes over
    with everything():
        assert world.run_until(CutoverPhase.SUCCEEDED)

        # Then it ends as that cutover, with the pods of the release that began it, and only one expand Job ran
        reconciled(world, 10)
    assert world.stored["cutover"]["id"] == cutover
    assert template(world, "green")["spec"]["containers"][0]["readinessProbe"]["periodSeconds"] == 2
    jobs = [name for kind, name in world.children if kind == "Job"]
    assert len([one for one in jobs if "expand" in str(world.children["Job", one]["spec"])]) == 1


def test_up_to_date_says_that_a_newer_shape_is_there(world: World) -> None:
    with edited_pods():
        reconciled(world, 10)

    up_to_date = condition(world, ConditionType.UP_TO_DATE)
    assert (up_to_date["status"], up_to_date["reason"]) == ("True", Reason.REFRESH_AVAILABLE)
    assert "rtx-trading.com/refresh" in up_to_date["message"]


def test_new_value_of_the_refresh_annotation_begins_one_cutover_to_the_newer_shape(world: World) -> None:
    with edited_pods():
        # Given an engine that runs as an earlier release made it
        reconciled(world, 10)

        # When its user asks for a refresh
        world.refresh("1")
        assert world.run_until(CutoverPhase.SUCCEEDED)
        cutover = world.stored["cutover"]
        reconciled(world, 10)

        # Then one cutover replaced its pods, and it is up to date
        assert world.stored["cutover"] == cutover
        assert (cutover["from"]["version"], cutover["to"]["version"]) == ("1.0.0", "1.0.0")
        assert template(world, "green")["spec"]["containers"][0]["readinessProbe"]["periodSeconds"] == 5
        assert condition(world, ConditionType.UP_TO_DATE)["reason"] == Reason.AS_SPECIFIED


def test_lost_refresh_annotation_begins_no_cutover(world: World) -> None:
    # Given an engine that was refreshed, of which nothing else is kept any more
    world.refresh("1")
    assert world.run_until(CutoverPhase.SUCCEEDED)
    reconciled(world, 80)
    assert not world.stored.get("previous")
    cutover = world.stored["cutover"]["id"]

    # When somebody removes the annotation
    world.refresh("")
    reconciled(world, 10)

    # Then nothing begins; a later version keeps the value, and going back to the kept one is a switch
    assert world.stored["cutover"]["id"] == cutover
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.SUCCEEDED)
    world.set_spec(version="1.0.0")
    assert world.run_until(CutoverPhase.SUCCEEDED)
    assert "Migrating" not in world.stored["cutover"]["seconds"]


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0"])
def test_refresh_is_taken_back_with_its_annotation_while_the_release_before_it_is_kept(
    world: World, version: str
) -> None:
    # Given an engine that was refreshed, alone or with a new version, whose release before that is kept
    world.refresh("1")
    world.set_spec(version=version)
    assert world.run_until(CutoverPhase.SUCCEEDED)
    pods = world.colour_pods("blue")

    # When the annotation is removed, and spec asks for what is kept
    world.refresh("")
    world.set_spec(version="1.0.0")
    assert world.run_until(CutoverPhase.SUCCEEDED)

    # Then the pods that were kept serve again, and it stays so
    assert "Migrating" not in world.stored["cutover"]["seconds"]
    assert set(pods) <= set(world.colour_pods("blue"))
    cutover = world.stored["cutover"]["id"]
    reconciled(world, 100)
    assert world.stored["cutover"]["id"] == cutover


def test_second_refresh_is_taken_back_with_its_annotation(world: World) -> None:
    # Given an engine that was refreshed long ago, and then again, whose release before that is kept
    world.refresh("2026-01")
    assert world.run_until(CutoverPhase.SUCCEEDED)
    reconciled(world, 80)
    assert not world.stored.get("previous")
    first = world.stored["active"]["revision"]
    world.refresh("2026-06")
    assert world.run_until(CutoverPhase.SUCCEEDED)
    assert world.stored["previous"]["revision"] == first

    # When the annotation is removed
    world.refresh("")
    assert world.run_until(CutoverPhase.SUCCEEDED)

    # Then the kept release serves again, and it stays so
    assert world.stored["active"]["revision"] == first
    cutover = world.stored["cutover"]["id"]
    reconciled(world, 20)
    assert world.stored["previous"]
    assert world.stored["cutover"]["id"] == cutover


def test_refresh_that_fails_is_rejected_until_another_value_or_a_retry(world: World) -> None:
    # Given a newer shape whose smoke tests fail
    world.faults.add("smoke")
    with edited_pods():
        world.refresh("1")
        assert world.run_until(CutoverPhase.ROLLED_BACK)
        reconciled(world, 10)
        cutover = world.stored["cutover"]["id"]

        # Then it is not tried again by itself
        assert world.stored["rejected"]["reason"] == Reason.SMOKE_FAILED
        world.faults.clear()
        reconciled(world, 10)
        assert world.stored["cutover"]["id"] == cutover

        # And when the annotation gets another value, then it is
        world.refresh("2")
        assert world.run_until(CutoverPhase.SUCCEEDED)


def test_second_signing_key_replaces_no_pod_of_before(world: World) -> None:
    # Given a version that a release of the operator rolled out which knew one signing key
    with edited_template(DEPLOYMENT, STANDBY, ""):
        upgraded(world)
    made = copy.deepcopy(template(world, "green"))

    # When this one reconciles it, and its Secret gets a second key, and another one
    for value in ("Zmlyc3Q=", "c2Vjb25k"):
        set_standby(world, value)
        reconciled(world)

    # Then no pod is replaced
    assert template(world, "green") == made
    forget_desired_states()  # of another release


def test_another_second_signing_key_replaces_the_pods_that_have_it(world: World) -> None:
    # Given a version that this release rolled out
    upgraded(world)
    made = copy.deepcopy(template(world, "green"))
    set_standby(world, "Zmlyc3Q=")
    reconciled(world)
    assert template(world, "green") != made


def set_standby(world: World, value: str) -> None:
    assert world.credentials is not None
    world.credentials = {"data": {**world.credentials["data"], "JWT_SECRET_STANDBY": value}}


# --- records that are lost -------------------------------------------------------------------------------------------


def lose_record(world: World, which: str = "active") -> None:
    """Somebody deletes the ControllerRevision of the active release, or of the previous one."""
    release = world.stored[which]
    del world.children["ControllerRevision", f"rtx-engine-{release['colour']}-{release['revision']}"]


@RELEASES
def test_lost_record_is_made_again_as_the_pods_were_made(world: World, release: Release) -> None:
    # Given an engine that runs what its spec asks for, as an earlier release of the operator made it
    made, pods = copy.deepcopy(template(world, "blue")), set(world.pods)
    with release():
        # When somebody deletes the record of that
        lose_record(world)
        reconciled(world, 10)

        # Then it is recorded as it runs, and no pod is replaced
        assert template(world, "blue") == made
        assert set(world.pods) == pods
    assert ("ControllerRevision", f"rtx-engine-blue-{world.active['revision']}") in world.children


def test_lost_record_of_a_refreshed_release_begins_no_upgrade(world: World) -> None:
    # Given a release that was refreshed, whose annotation was removed once the release before it was retired
    world.refresh("1")
    assert world.run_until(CutoverPhase.SUCCEEDED)
    reconciled(world, 80)
    assert not world.stored.get("previous")
    world.refresh("")
    reconciled(world, 10)
    cutover, revision = world.stored["cutover"]["id"], world.active["revision"]

    # When somebody deletes its record
    lose_record(world)
    reconciled(world, 10)

    # Then nothing begins, and the record has the refresh again
    assert world.stored["cutover"]["id"] == cutover
    assert world.children["ControllerRevision", f"rtx-engine-green-{revision}"]["data"]["refresh"] == "1"


def test_lost_record_beside_a_kept_release_that_was_refreshed_begins_no_upgrade(world: World) -> None:
    # Given a refreshed release that is kept, after a refresh that was taken back
    world.refresh("1")
    assert world.run_until(CutoverPhase.SUCCEEDED)
    world.refresh("")
    assert world.run_until(CutoverPhase.SUCCEEDED)
    cutover = world.stored["cutover"]["id"]

    # When the record of the active one, which has no refresh, is deleted
    lose_record(world)
    reconciled(world, 10)

    # Then nothing begins
    assert world.stored["cutover"]["id"] == cutover


def test_lost_record_of_the_kept_release_keeps_no_refresh_from_being_taken_back(world: World) -> None:
    # Given a spec with more than version and image, and a refresh, before which the release is kept
    world.set_spec(config={"logLevel": "DEBUG"})
    assert world.run_until(CutoverPhase.SUCCEEDED)
    before = world.active["revision"]
    world.refresh("1")
    assert world.run_until(CutoverPhase.SUCCEEDED)

    # When the record of that one is deleted, and then the annotation is removed
    lose_record(world, "previous")
    reconciled(world, 5)
    world.refresh("")

    # Then it serves again
    assert world.run_until(CutoverPhase.SUCCEEDED)
    assert world.active["revision"] == before
