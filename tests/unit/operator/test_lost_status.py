"""Status is lost amid any operation: what serves is left alone, and the engine finds its way.

The laws of cutover_laws.py judge each step: nothing that serves loses its record or its configuration, and no ready
pod of database or cache is taken away but by a maintenance.
"""

import base64
from collections.abc import Callable

import pytest
from cutover_walks import ROLLBACK_PHASES, UPGRADE_PHASES, until_retiring, upgraded
from cutover_world import World
from maintenance_walks import DATABASE, MORE, condition, reconciled, server_pods, until
from rtx_operator.api.enums import (
    Component,
    ConditionType,
    CutoverPhase,
    MaintenancePhase,
    Reason,
    RetirementPhase,
    ServerComponent,
)
from rtx_operator.api.names import Label
from rtx_operator.observation import Object
from simulated_api import label

# What hides the fence when status is lost, and the seconds for which it does.
ANSWERS, SILENT, LATE = ("", 0), ("no database", 30), ("late answers", 3)
FENCE = pytest.mark.parametrize("hidden", [ANSWERS, SILENT, LATE], ids=["database answers", "is silent", "is late"])
UNCHECKED = {"image": "example.com/postgres:nope"}


def lose_status(world: World, hidden: tuple[str, int]) -> None:
    """Lose status while the fence is hidden for a while; the database comes back with all its data."""
    fault, seconds = hidden
    if fault:
        world.faults.add(fault)
    world.lose_status()
    reconciled(world, seconds)
    world.faults.discard(fault)


def cutover_in(world: World, phase: CutoverPhase) -> None:
    if phase in ROLLBACK_PHASES:
        world.faults.add("errors:1.1.0")
    world.set_spec(version="1.1.0")
    assert world.run_until(phase)


def made_of(world: World, pod: str) -> Object:
    spec: Object = world.pods[pod]["spec"]
    return spec


@FENCE
@pytest.mark.parametrize("phase", [*UPGRADE_PHASES, *ROLLBACK_PHASES])
def test_lost_in_any_phase_of_a_cutover(world: World, phase: CutoverPhase, hidden: tuple[str, int]) -> None:
    # Given a cutover in one of its phases
    cutover_in(world, phase)
    assert world.fence
    executors, selected = world.fence.executors, world.selected

    # When status is lost, and the database is away meanwhile
    lose_status(world, hidden)

    # Then what executed and what had the traffic still do
    assert (world.fence.executors, world.selected) == (executors, selected)

    # And the upgrade ends
    world.settle()
    assert world.active["version"] == "1.1.0"


@FENCE
@pytest.mark.parametrize("phase", [phase for phase in MaintenancePhase if phase is not MaintenancePhase.FAILED])
@pytest.mark.parametrize("component", [Component.DATABASE, Component.CACHE])
def test_lost_in_any_phase_of_a_maintenance(
    world: World, component: ServerComponent, phase: MaintenancePhase, hidden: tuple[str, int]
) -> None:
    # Given a maintenance in one of its phases
    world.slot_is_free = phase is not MaintenancePhase.PENDING
    world.set_spec(**{component: MORE})
    if phase is MaintenancePhase.ROLLING_BACK:
        world.set_spec(**{component: {"image": "example.com/server:crash"}})
    assert until(world, phase, seconds=5)

    # When status is lost, and the database is away meanwhile
    lose_status(world, hidden)
    world.set_spec(**{component: MORE})

    # Then the server is as asked, and status says what its pod runs
    world.settle()
    pod = {Component.DATABASE: DATABASE, Component.CACHE: "rtx-redis-0"}[component]
    assert made_of(world, pod)["containers"][0]["resources"]["requests"]["memory"] == "3Gi"
    assert world.stored[component]["revision"] == label(world.pods[pod], Label.REVISION)


@FENCE
@pytest.mark.parametrize("phase", [RetirementPhase.EMPTYING, RetirementPhase.CONTRACTING, RetirementPhase.SUCCEEDED])
def test_lost_in_any_phase_of_a_retirement(world: World, phase: RetirementPhase, hidden: tuple[str, int]) -> None:
    # Given the retirement of 1.0.0 in one of its phases
    until_retiring(upgraded(world))
    while world.stored["retirement"]["phase"] != phase:
        reconciled(world, 1)

    # When status is lost, and the database is away meanwhile
    lose_status(world, hidden)

    # Then 1.1.0 goes on serving, and 1.0.0 does not come back
    world.settle()
    reconciled(world, 90)
    assert (world.active["version"], world.selected) == ("1.1.0", "green")
    assert world.colour_pods("blue") == []


# --- what the user asks for meanwhile --------------------------------------------------------------------------------


def first_release(world: World) -> World:
    return world


@FENCE
@pytest.mark.parametrize("of", [first_release, upgraded])
def test_change_of_the_database_is_a_maintenance_as_always(
    world: World, of: Callable[[World], World], hidden: tuple[str, int]
) -> None:
    # Given an engine that serves
    of(world)
    before = server_pods(world)

    # When status is lost, and spec names an image for the database that no node can pull
    world.set_spec(database=UNCHECKED)
    lose_status(world, hidden)
    reconciled(world, 30)

    # Then the pods of database and cache are as before, and Stalled says why
    assert until(world, MaintenancePhase.FAILED)
    after = server_pods(world)
    assert {name: pod["spec"] for name, pod in after.items()} == {name: pod["spec"] for name, pod in before.items()}
    assert condition(world, ConditionType.STALLED)["reason"] == Reason.IMAGE_UNAVAILABLE


@FENCE
@pytest.mark.parametrize("of", [first_release, upgraded])
def test_change_of_the_version_is_a_cutover_as_always(
    world: World, of: Callable[[World], World], hidden: tuple[str, int]
) -> None:
    # Given an engine that serves
    running = of(world).active

    # When status is lost, and spec asks for other pods
    world.set_spec(version="1.2.0", config={"logLevel": "DEBUG"})
    lose_status(world, hidden)
    reconciled(world, 2)

    # Then a cutover begins from what serves, and ends
    assert world.stored["cutover"]["from"]["revision"] == running["revision"]
    world.settle()
    assert world.active["version"] == "1.2.0"


def test_retired_colour_gets_no_pods_while_the_database_is_silent(world: World) -> None:
    # Given 1.0.0 retired in blue
    until_retiring(upgraded(world))
    world.settle()
    assert world.colour_pods("blue") == []

    # When status is lost, and the database is silent for long
    world.faults.add("no database")
    world.lose_status()
    reconciled(world, 120)

    # Then blue stays empty, and Ready names the database
    assert world.colour_pods("blue") == []
    assert condition(world, ConditionType.READY)["reason"] == Reason.DATABASE_STARTING


def test_pods_that_are_all_away_do_not_make_an_engine_new(world: World) -> None:
    # Given an engine of one release ever, all of whose pods are away
    world.faults.add("unready:1.0.0")
    for name in world.colour_pods("blue"):
        world.crash(name)
    world.run_deployments()
    before = server_pods(world)

    # When status is lost, and spec names another image for the database and another version
    world.set_spec(version="1.1.0", database=UNCHECKED)
    world.lose_status()
    reconciled(world, 3)

    # Then it is no installation that follows the spec
    assert server_pods(world)[DATABASE]["spec"] == before[DATABASE]["spec"]
    assert world.active["version"] == "1.0.0"


def test_restart_of_the_database_is_not_taken_for_done(world: World) -> None:
    # Given a maintenance whose new template is applied, while the pod is as before
    upgraded(world)
    world.set_spec(database=MORE)
    assert until(world, MaintenancePhase.RESTARTING)
    world.reconcile()
    pod = label(world.pods[DATABASE], Label.REVISION)
    assert label(world.children["StatefulSet", "rtx-postgres"], Label.REVISION) != pod

    # When status is lost
    world.lose_status()
    world.reconcile()

    # Then status says what the pod is, and another maintenance gives it what spec asks for
    assert world.stored["database"]["revision"] == pod
    assert until(world, MaintenancePhase.SUCCEEDED)
    assert world.stored["database"]["revision"] == label(world.pods[DATABASE], Label.REVISION) != pod


def test_changed_password_reaches_a_database_whose_record_was_lost_before(world: World) -> None:
    # Given a database whose record somebody deleted: it was made again
    [record] = [key for key in world.children if key[0] == "ControllerRevision" and "-database-" in key[1]]
    del world.children[record]
    reconciled(world, 5)
    assert record in world.children

    # When a password of its roles is changed in the moment in which status is lost
    secret = world.children["Secret", "rtx-internal"]
    data = {**secret["data"], "DB_MIGRATOR_PASSWORD": base64.b64encode(b"another").decode()}
    world._store(("Secret", "rtx-internal"), {**secret, "data": data})
    world.lose_status()

    # Then the database gets it by a maintenance
    assert until(world, MaintenancePhase.SUCCEEDED)
