"""What comes of carrying out a decision: what is to be observed at once, and what is to be told."""

from dataclasses import replace
from typing import Any, cast

import pytest
from api_server import ApiServer, serving
from cutover_world import Intent, copied, installed
from rtx_operator.api.enums import Reason
from rtx_operator.cluster.apply import Applier
from rtx_operator.cluster.crash import CrashHook
from rtx_operator.cluster.perform import Performed, Performer
from rtx_operator.cluster.read_cache import ReadCache
from rtx_operator.cutover.effects import EffectName
from rtx_operator.observation import Owner


@pytest.fixture
def selects() -> Intent:
    """The look in which the live Service is to follow the fence."""
    world = copied(installed())
    world.ask(version="1.1.0")
    for _ in range(60):
        intent = world.intend()
        if [effect.name for effect in intent.decision.effects] == [EffectName.SELECT]:
            return intent
        world.look()
        world.tick()
    raise AssertionError("the live Service never follows")


async def perform(intent: Intent, server: ApiServer) -> Performed:
    async with serving(server) as client:
        performer = Performer(client, Applier(client, ReadCache(client)), CrashHook(None))
        decision = replace(intent.decision, apply=(), delete=())
        owner = Owner("trading", "rtx", "uid-1")
        nowhere = cast("Any", None)  # an Apply asks neither database nor pods
        return await performer.perform(intent.manifest, owner, decision, intent.seen, nowhere)


async def test_what_the_switch_waits_for_is_observed_at_once(selects: Intent) -> None:
    assert await perform(selects, ApiServer()) == Performed(refusal=None, again=True)


async def test_what_was_refused_is_told_and_not_tried_again_at_once(selects: Intent) -> None:
    server = ApiServer()
    server.refuses = True

    performed = await perform(selects, server)

    assert performed.refusal is not None
    assert performed.refusal.reason is Reason.REQUEST_REFUSED
    assert "denied by a webhook" in performed.refusal.message
    assert not performed.again
