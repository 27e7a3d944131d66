"""The outcome of performing a decision: its refusal, and the delay until the next reconcile."""

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
from rtx_operator.operations.effects import EffectName, Evict
from rtx_operator.results import Unmet, Waiting


@pytest.fixture
def selects() -> Intent:
    """The decision in which the live Service follows the fence."""
    world = copied(installed())
    world.set_spec(version="1.1.0")
    for _ in range(60):
        intent = world.intend()
        if [effect.name for effect in intent.decision.effects] == [EffectName.SELECT]:
            return intent
        world.reconcile()
        world.tick()
    raise AssertionError("no decision selects the new colour")


async def perform(intent: Intent, server: ApiServer, **decided: Any) -> Unmet | None:
    async with serving(server) as client:
        performer = Performer(client, Applier(client, ReadCache(client)), CrashHook(None))
        decision = replace(intent.decision, apply=(), delete=(), **decided)
        owner = Owner("trading", "rtx", "uid-1")
        nowhere = cast("Any", None)  # an Apply needs neither database nor pods
        return await performer.perform(intent.manifest, owner, decision, intent.observation, nowhere)


async def test_accepted_select_is_requeued_immediately(selects: Intent) -> None:
    refusal = await perform(selects, ApiServer())

    assert refusal is None
    assert requeue_after(selects.decision, Outcome(refusal), now=selects.now, resync=300.0) == IMMEDIATELY


async def test_refused_select_is_reported_and_requeued_later(selects: Intent) -> None:
    server = ApiServer()
    server.refuses = True

    refusal = await perform(selects, server)

    assert refusal is not None
    assert refusal.reason is Reason.REQUEST_REFUSED
    assert "denied by a webhook" in refusal.message
    assert requeue_after(selects.decision, Outcome(refusal), now=selects.now, resync=300.0) > IMMEDIATELY


@pytest.mark.parametrize("code", [429, 500])
async def test_pod_that_disruption_budgets_keep_is_waited_for_in_their_words(selects: Intent, code: int) -> None:
    # Given a pod that one budget protects, or more than one, of which Kubernetes asks none
    server = ApiServer()
    server.keeps_pods, server.denial = code, "This pod has more than one PodDisruptionBudget"
    pod = {"metadata": {"name": "rtx-postgres-1", "namespace": "trading", "uid": "uid-1"}}

    # When it is to be evicted
    refusal = await perform(selects, server, effects=(), replace=(Evict((pod,)),))

    # Then that is waited for
    assert isinstance(refusal, Waiting)
    assert refusal.message == "pod rtx-postgres-1 stays for now: This pod has more than one PodDisruptionBudget"
