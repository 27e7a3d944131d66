"""A cache that is away costs what it gives, and holds up nothing of an engine that has served (ADR 0143)."""

from cutover_walks import reconciled, walk
from cutover_world import World
from maintenance_walks import CACHE, DATABASE, MORE, condition, taken_away, until
from prometheus_client import REGISTRY
from rtx_operator import measure
from rtx_operator.api.enums import ConditionType, CutoverPhase, MaintenancePhase, Reason
from rtx_operator.decision.events import events
from rtx_operator.observation import Fence


def lose_cache(world: World) -> None:
    world.faults.add("no cache")
    reconciled(world, 2)


def test_engine_stays_ready_and_says_what_is_missing(world: World) -> None:
    before = world.stored

    lose_cache(world)

    assert condition(world, ConditionType.READY)["status"] == "True"
    away = condition(world, ConditionType.CACHE_AVAILABLE)
    assert (away["status"], away["reason"]) == ("False", Reason.CACHE_STARTING)
    assert "rtx-redis" in away["message"]
    assert "orders and reads go on" in away["message"]
    assert condition(world, ConditionType.RECONCILING)["reason"] == Reason.CACHE_STARTING
    assert [(one.reason, one.is_warning) for one in events(before, world.stored)] == [(Reason.CACHE_STARTING, True)]


def test_condition_and_event_say_when_it_is_back(world: World) -> None:
    lose_cache(world)
    before = world.stored

    world.faults.clear()
    reconciled(world, 2)

    assert condition(world, ConditionType.CACHE_AVAILABLE)["status"] == "True"
    assert condition(world, ConditionType.RECONCILING)["status"] == "False"
    assert [(one.reason, one.is_warning) for one in events(before, world.stored)] == [(Reason.CACHE_READY, False)]


def test_metric_follows_the_condition(world: World) -> None:
    def shown() -> float | None:
        measure.state("trading", "rtx", world.stored)
        labels = {"namespace": "trading", "name": "rtx"}
        return REGISTRY.get_sample_value("rtx_operator_cache_available", labels)

    assert shown() == 1
    lose_cache(world)
    assert shown() == 0


def test_whole_life_of_a_release_passes_without_cache(world: World) -> None:
    lose_cache(world)

    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.SUCCEEDED)
    walk(world, reconciles=80)  # the retirement of the old colour
    assert "previous" not in world.stored
    world.set_spec(version="1.2.0")
    world.faults.add("errors:1.2.0")

    assert world.run_until(CutoverPhase.ROLLED_BACK, reconciles=80)


def test_engine_whose_status_is_lost_is_adopted_without_cache(world: World) -> None:
    lose_cache(world)

    world.status = "{}"
    reconciled(world, 10)

    assert world.active["version"] == "1.0.0"
    assert condition(world, ConditionType.READY)["status"] == "True"


def test_first_installation_waits_for_its_cache() -> None:
    world = World()
    world.set_spec(
        version="1.0.0", image={"repository": "example.com/rtx-engine"}, credentialsSecretRef={"name": "mine"}
    )
    world.faults.add("no cache")

    reconciled(world, 20)

    assert condition(world, ConditionType.READY)["reason"] == Reason.CACHE_STARTING
    assert "active" not in world.stored
    world.settle()
    assert condition(world, ConditionType.CACHE_AVAILABLE)["status"] == "True"


def hang_in_its_restart(world: World) -> None:
    """The cache's maintenance has taken its pod away, and the new one does not come up, for no cause that is known."""
    world.set_spec(cache=MORE)
    assert until(world, MaintenancePhase.RESTARTING)
    lose_cache(world)


def test_cutover_and_retirement_go_on_beside_a_maintenance_of_the_cache(world: World) -> None:
    hang_in_its_restart(world)

    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.SUCCEEDED)
    walk(world, reconciles=80)

    assert world.stored["maintenance"]["phase"] == MaintenancePhase.RESTARTING
    assert "previous" not in world.stored
    world.faults.clear()
    assert until(world, MaintenancePhase.SUCCEEDED)


def test_maintenance_of_the_cache_goes_on_beside_a_cutover_that_began_after_it(world: World) -> None:
    hang_in_its_restart(world)
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MONITORING)

    world.faults.clear()

    assert until(world, MaintenancePhase.SUCCEEDED, reconciles=8)
    assert world.phase is CutoverPhase.MONITORING
    assert world.run_until(CutoverPhase.SUCCEEDED)


def test_maintenance_of_the_cache_does_not_begin_beside_a_cutover(world: World) -> None:
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MONITORING)
    away = taken_away(world)

    world.set_spec(cache=MORE)
    assert world.run_until(CutoverPhase.SUCCEEDED)

    assert away == []
    assert until(world, MaintenancePhase.SUCCEEDED)


def test_fence_that_a_failover_lost_moves_again_beside_a_maintenance_of_the_cache(world: World) -> None:
    hang_in_its_restart(world)
    assert world.fence
    world.fence = Fence(world.fence.epoch + 1, ("green",), "", world.fence.owner)

    reconciled(world, 3)

    assert world.fence.executors == ("blue",)


def test_maintenance_of_the_cache_that_hangs_ends_for_that_of_the_database(world: World) -> None:
    # Given a new pod of the cache that does not come up, nor one as before
    hang_in_its_restart(world)
    away = taken_away(world)
    world.set_spec(database=MORE, cache=MORE)

    # When its time is over
    assert until(world, MaintenancePhase.FAILED, reconciles=120, seconds=15)

    # Then that of the database begins
    assert until(world, MaintenancePhase.SUCCEEDED)
    assert DATABASE in away
    assert world.stored["cache"]["failed"]["reason"] == Reason.DEADLINE_EXCEEDED
    assert CACHE in world.pods
