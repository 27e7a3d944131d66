"""A cache of three with Sentinels: how it comes, restarts, loses a pod, and becomes a single one again (ADR 0145)."""

import pytest
from cutover_walks import reconciled
from cutover_world import World
from maintenance_walks import CACHE, condition, taken_away, until
from rtx_operator.api.enums import ConditionType, MaintenancePhase, Reason
from rtx_operator.observation import is_ready, revision_of

MEMBERS = ["rtx-redis-0", "rtx-redis-1", "rtx-redis-2"]
SENTINEL = {"mode": "Sentinel"}
BUDGET = ("PodDisruptionBudget", "rtx-redis")


def cache_pods(world: World) -> list[str]:
    return sorted(name for name, pod in world.pods.items() if name.startswith("rtx-redis-") and is_ready(pod))


@pytest.fixture
def with_sentinels(world: World) -> World:
    world.set_spec(cache=SENTINEL)
    assert until(world, MaintenancePhase.SUCCEEDED)
    reconciled(world, 3)
    return world


def test_single_cache_becomes_one_of_three_without_a_cutover(world: World) -> None:
    away, engine_pods = taken_away(world), world.colour_pods("blue", ready=True)

    world.set_spec(cache=SENTINEL)
    assert until(world, MaintenancePhase.SUCCEEDED)

    assert cache_pods(world) == MEMBERS
    assert {revision_of(world.pods[name]) for name in MEMBERS} == {world.stored["cache"]["revision"]}
    assert away == [CACHE]
    assert BUDGET in world.children
    assert ("cutover" in world.stored, world.colour_pods("blue", ready=True)) == (False, engine_pods)


def test_cache_with_sentinels_becomes_single_again(with_sentinels: World) -> None:
    with_sentinels.set_spec(cache={})
    assert until(with_sentinels, MaintenancePhase.SUCCEEDED)
    reconciled(with_sentinels, 3)

    assert cache_pods(with_sentinels) == [CACHE]
    assert BUDGET not in with_sentinels.children
    assert condition(with_sentinels, ConditionType.CACHE_AVAILABLE)["reason"] == Reason.CACHE_READY


def test_members_restart_one_after_the_other_the_first_last(with_sentinels: World) -> None:
    away = taken_away(with_sentinels)

    with_sentinels.set_spec(cache={**SENTINEL, "resources": {"requests": {"memory": "3Gi"}}})
    assert until(with_sentinels, MaintenancePhase.SUCCEEDED)

    assert away == MEMBERS[::-1]


def test_restart_is_over_only_when_all_members_are_new_and_ready(with_sentinels: World) -> None:
    away = taken_away(with_sentinels)
    with_sentinels.faults.add("dead:rtx-redis-1")
    with_sentinels.set_spec(cache={**SENTINEL, "resources": {"requests": {"memory": "3Gi"}}})

    assert not until(with_sentinels, MaintenancePhase.VERIFYING, reconciles=30)
    assert CACHE not in away

    with_sentinels.faults.clear()
    assert until(with_sentinels, MaintenancePhase.SUCCEEDED)


def test_members_of_which_none_is_ready_are_mended_by_an_edit(with_sentinels: World) -> None:
    # Given members whose memory has become too little
    away = taken_away(with_sentinels)
    with_sentinels.faults |= {f"dead:{name}" for name in MEMBERS}
    reconciled(with_sentinels, 3)

    # When they are to have more, then their disruption budget keeps none of them
    with_sentinels.set_spec(cache={**SENTINEL, "resources": {"requests": {"memory": "3Gi"}}})
    assert until(with_sentinels, MaintenancePhase.RESTARTING)
    reconciled(with_sentinels, 10)
    assert sorted(away) == MEMBERS

    with_sentinels.faults.clear()
    assert until(with_sentinels, MaintenancePhase.SUCCEEDED)


def test_failed_change_to_sentinels_leaves_a_single_cache(world: World) -> None:
    world.set_spec(cache={**SENTINEL, "image": "example.com/redis:crash"})

    assert until(world, MaintenancePhase.FAILED, reconciles=200)
    reconciled(world, 3)

    assert cache_pods(world) == [CACHE]
    assert condition(world, ConditionType.READY)["status"] == "True"


@pytest.mark.parametrize(("lost", "status", "reason"), [(1, "True", "CacheDegraded"), (2, "False", "CacheStarting")])
def test_condition_says_how_many_members_are_missing(
    with_sentinels: World, lost: int, status: str, reason: str
) -> None:
    with_sentinels.faults |= {f"dead:{name}" for name in MEMBERS[:lost]}
    reconciled(with_sentinels, 2)

    found = condition(with_sentinels, ConditionType.CACHE_AVAILABLE)
    assert (found["status"], found["reason"]) == (status, reason)
    assert f"{3 - lost} of 3 pods ready" in found["message"]
    assert condition(with_sentinels, ConditionType.READY)["status"] == "True"
    assert condition(with_sentinels, ConditionType.RECONCILING)["reason"] == reason
