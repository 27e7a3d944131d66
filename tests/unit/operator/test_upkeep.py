"""A write of a child that hangs, as behind a webhook that is down, keeps neither fence nor Service from moving."""

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest
from api_server import ApiServer, serving
from cutover_world import Intent, World, copied, installed
from rtx_operator.api.enums import CutoverPhase
from rtx_operator.cluster.apply import Applier
from rtx_operator.cluster.client import ApiError
from rtx_operator.cluster.crash import CrashHook
from rtx_operator.cluster.perform import UPKEEP_PAUSE_SECONDS, Performer
from rtx_operator.cluster.perform.objects import ObjectPerformer
from rtx_operator.cluster.perform.refusals import Refusals
from rtx_operator.cluster.read_cache import ReadCache
from rtx_operator.observation import Object, Owner
from rtx_operator.operations.effects import EffectName

OWNER = Owner("trading", "rtx", "uid-1")
NOWHERE = cast("Any", None)  # neither database nor pods are needed
HANGING = "networkpolicies"


@pytest.fixture
def world() -> World:
    return copied(installed())


@pytest.fixture
def server() -> ApiServer:
    """An API server that never answers a write of a NetworkPolicy."""
    made = ApiServer()
    made.hangs = HANGING
    return made


def rolling_back(world: World, effect: EffectName | None) -> Intent:
    """The first decision in RollingBack that begins with this effect; with None, the first without any."""
    world.faults.add("errors:1.1.0")
    world.set_spec(version="1.1.0")
    for _ in range(100):
        intent = world.intend()
        effects = [one.name for one in intent.decision.effects]
        if world.phase is CutoverPhase.ROLLING_BACK and effects[:1] == ([effect] if effect else []):
            return intent
        world.reconcile()
        world.tick()
    raise AssertionError(f"no decision in RollingBack has the effect {effect}")


async def perform(intent: Intent, performer: Performer) -> None:
    await performer.perform(intent.manifest, OWNER, intent.decision, intent.observation, NOWHERE)


@pytest.mark.parametrize("effect", [EffectName.MOVE_FENCE, EffectName.SELECT])
def test_nothing_is_done_beside_a_move_of_the_fence_or_the_service(world: World, effect: EffectName):
    decision = rolling_back(world, effect).decision

    assert decision.upkeep
    assert [one.name for one in decision.commands()] == [effect]


@pytest.mark.parametrize("effect", [EffectName.DRAIN, EffectName.EMPTY])
def test_children_come_after_every_effect_of_a_rollback(world: World, effect: EffectName):
    decision = rolling_back(world, effect).decision

    commands = [one.name for one in decision.commands()]
    assert commands.index(EffectName.REPAIR) == len(decision.effects)


async def test_hanging_write_keeps_the_service_not_from_moving_back(world: World, server: ApiServer):
    intent = rolling_back(world, EffectName.SELECT)

    async with serving(server) as client:
        await perform(intent, Performer(client, Applier(client, ReadCache(client)), CrashHook(None)))

    assert [path.rpartition("/")[2] for method, path in server.requests if method == "PATCH"] == ["rtx-engine"]


async def test_upkeep_beside_a_rollback_is_given_up_after_its_budget_and_tried_again_later(
    world: World, server: ApiServer
):
    # Given a rollback that only waits, and a write that hangs
    intent, now = rolling_back(world, None), [0.0]

    async with serving(server) as client:
        applier = Applier(client, ReadCache(client))
        performer = Performer(client, applier, CrashHook(None), clock=lambda: now[0], upkeep_budget=1.0)

        def hanging() -> int:
            return sum(HANGING in path for method, path in server.requests if method == "PATCH")

        # When it is reconciled, then the reconcile ends
        await asyncio.wait_for(perform(intent, performer), 20)
        tried = hanging()
        assert tried > 0

        # And the next ones do not try it until some time has passed
        await perform(intent, performer)
        assert hanging() == tried
        now[0] += UPKEEP_PAUSE_SECONDS
        await perform(intent, performer)
        assert hanging() > tried


async def test_child_whose_write_hangs_keeps_no_other_from_being_applied(world: World, server: ApiServer):
    intent = world.intend()
    nothing_there = replace(intent.observation, children={})
    server.hang_seconds = 2.0

    async with serving(server) as client:
        applier = Applier(client, ReadCache(client))
        performer = ObjectPerformer(client, applier, intent.manifest, OWNER, Refusals(), patience=0.4)
        with pytest.raises(ApiError, match="the webhook did not answer"):
            await performer.apply_all(intent.decision.apply, nothing_there)

    missing = {child["kind"] for child in intent.decision.apply if not _is_stored(server, child)}
    assert missing == {"NetworkPolicy"}


def _is_stored(server: ApiServer, child: Object) -> bool:
    return any(
        path.endswith(f"/{child['metadata']['name']}") and stored["kind"] == child["kind"]
        for path, stored in server.objects.items()
    )
