"""What comes of carrying out a decision: what is to be observed at once, and what is to be told."""

from dataclasses import replace
from typing import Any, cast

import pytest
from api_server import ApiServer, serving
from cutover_world import Intent, copied, installed
from rtx_operator.api.enums import Reason
from rtx_operator.cluster.apply import Applier
from rtx_operator.cluster.crash import CrashHook
from rtx_operator.cluster.perform import Performer
from rtx_operator.cluster.read_cache import ReadCache
from rtx_operator.decision.outcome import Outcome
from rtx_operator.decision.requeue import IMMEDIATELY, requeue_after
from rtx_operator.observation import Owner
from rtx_operator.operations.effects import EffectName
from rtx_operator.results import Unmet


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


async def perform(intent: Intent, server: ApiServer) -> Unmet | None:
    async with serving(server) as client:
        performer = Performer(client, Applier(client, ReadCache(client)), CrashHook(None))
        decision = replace(intent.decision, apply=(), delete=())
        owner = Owner("trading", "rtx", "uid-1")
        nowhere = cast("Any", None)  # an Apply asks neither database nor pods
        return await performer.perform(intent.manifest, owner, decision, intent.seen, nowhere)


async def test_what_the_switch_waits_for_is_observed_at_once(selects: Intent) -> None:
    refusal = await perform(selects, ApiServer())

    assert refusal is None
    assert requeue_after(selects.decision, Outcome(refusal), now=selects.now, resync=300.0) == IMMEDIATELY


async def test_a_refusal_is_reported_and_not_retried_at_once(selects: Intent) -> None:
    server = ApiServer()
    server.refuses = True

    refusal = await perform(selects, server)

    assert refusal is not None
    assert refusal.reason is Reason.REQUEST_REFUSED
    assert "denied by a webhook" in refusal.message
    assert requeue_after(selects.decision, Outcome(refusal), now=selects.now, resync=300.0) > IMMEDIATELY
