"""Two managers at war: told once, by name; repairs slow down, but for what traffic depends on."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from api_server import ApiServer, serving
from rtx_operator.api.enums import ConditionType, Reason
from rtx_operator.cluster import events
from rtx_operator.cluster.apply import Applied, Applier
from rtx_operator.cluster.client import Client, Resource
from rtx_operator.cluster.disputes import FREE_REPAIRS, MAX_PAUSE_SECONDS, QUIET_SECONDS, Disputes
from rtx_operator.cluster.events import EventReason
from rtx_operator.cluster.read_cache import ReadCache
from rtx_operator.cluster.resources import DISRUPTION_BUDGET, ENGINE, EVENT, NETWORK_POLICY, SERVICE
from rtx_operator.decision.conditions import after_disputes
from rtx_operator.decision.events import events as events_between
from rtx_operator.observation import Object
from rtx_operator.results import Dispute

SCOPE = ("trading", "rtx")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class War:
    """An operator and another manager that change one object; the clock is the test's."""

    def __init__(self, server: ApiServer, client: Client) -> None:
        self.server, self.now = server, 0.0
        self.applier = Applier(client, ReadCache(client), Disputes(lambda: self.now))

    async def apply(self, resource: Resource) -> Applied:
        meta = {"name": "rtx", "namespace": "trading", "labels": {"rtx-trading.com/engine": "rtx"}}
        desired = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": meta,
            "spec": {"field": "ours"},
        }
        live = self.server.objects.get(resource.path("trading", "rtx"))
        outcome, _ = await self.applier.apply(SCOPE, resource, desired, live, "uid")
        return outcome

    async def fight(self, resource: Resource, seconds: int) -> list[Applied]:
        """The other manager changes the object every second."""
        outcomes = []
        for _ in range(seconds):
            self.server.change(resource.path("trading", "rtx"), "other")
            outcomes.append(await self.apply(resource))
            self.now += 1
        return outcomes

    @property
    def disputes(self) -> tuple[Dispute, ...] | None:
        return self.applier.disputes.of(SCOPE)


@pytest_asyncio.fixture
async def war() -> AsyncIterator[War]:
    server = ApiServer()
    async with serving(server) as client:
        yield War(server, client)


async def test_repairs_slow_down_and_the_other_manager_is_named(war: War) -> None:
    # Given an object that the operator made
    assert await war.apply(DISRUPTION_BUDGET) is Applied.CREATED

    # When another manager changes it every second for a minute
    outcomes = await war.fight(DISRUPTION_BUDGET, 60)

    # Then a handful of repairs is made, the first ones at once
    assert outcomes[:FREE_REPAIRS] == [Applied.REPAIRED] * FREE_REPAIRS
    assert outcomes.count(Applied.REPAIRED) == 6
    assert set(outcomes) == {Applied.REPAIRED, Applied.DEFERRED}

    # Then the object and the manager are known, and when it is restored the next time
    assert war.disputes
    [dispute] = war.disputes
    assert (dispute.kind, dispute.name, dispute.managers) == ("PodDisruptionBudget", "rtx", ("other",))
    assert 0 < dispute.wait_seconds <= MAX_PAUSE_SECONDS

    # When that time is over
    war.now += dispute.wait_seconds

    # Then it is restored
    assert await war.apply(DISRUPTION_BUDGET) is Applied.REPAIRED


@pytest.mark.parametrize("resource", [SERVICE, NETWORK_POLICY])
async def test_what_traffic_depends_on_is_restored_at_once_however_often(war: War, resource: Resource) -> None:
    await war.apply(resource)

    assert set(await war.fight(resource, 60)) == {Applied.REPAIRED}

    assert war.disputes
    assert war.disputes[0].managers == ("other",)


async def test_change_of_what_is_desired_waits_for_no_pause(war: War) -> None:
    # Given an object in dispute
    await war.apply(DISRUPTION_BUDGET)
    await war.fight(DISRUPTION_BUDGET, 5)
    live = war.server.objects[DISRUPTION_BUDGET.path("trading", "rtx")]

    # When the operator desires something else, as a cutover does
    desired = {"kind": "PodDisruptionBudget", "metadata": live["metadata"], "spec": {"field": "other"}}
    outcome, _ = await war.applier.apply(SCOPE, DISRUPTION_BUDGET, desired, live, "uid")

    # Then it is applied
    assert outcome is Applied.UPDATED


async def test_dispute_is_over_after_a_quiet_time(war: War) -> None:
    # Given an object in dispute
    await war.apply(DISRUPTION_BUDGET)
    await war.fight(DISRUPTION_BUDGET, 5)
    war.now += MAX_PAUSE_SECONDS
    assert await war.apply(DISRUPTION_BUDGET) is Applied.REPAIRED

    # When nobody changes it
    war.now += QUIET_SECONDS
    await war.apply(DISRUPTION_BUDGET)

    # Then the dispute is over, and the next repair is made at once
    assert war.disputes == ()
    assert (await war.fight(DISRUPTION_BUDGET, 1)) == [Applied.REPAIRED]


async def test_single_edits_are_no_dispute(war: War) -> None:
    await war.apply(DISRUPTION_BUDGET)
    war.now += QUIET_SECONDS

    await war.fight(DISRUPTION_BUDGET, FREE_REPAIRS - 1)

    assert war.disputes == ()


async def test_new_leader_does_not_declare_a_dispute_over(war: War) -> None:
    assert war.disputes is None  # not known yet

    war.now += QUIET_SECONDS

    assert war.disputes == ()


# --- what is told ---

DISPUTE = Dispute("PodDisruptionBudget", "rtx-engine", ("other",), 5.0)
BEFORE = {
    "conditions": [{"type": "Ready", "status": "True", "reason": "Serving", "message": "", "lastTransitionTime": ""}]
}


def disputed(status: Object) -> Object:
    found: Object = next(one for one in status["conditions"] if one["type"] == ConditionType.DISPUTED)
    return found


def test_dispute_is_told_once_with_object_and_manager() -> None:
    # Given an engine whose objects another manager changes
    told = after_disputes(dict(BEFORE), 1, [DISPUTE], NOON)

    # Then a condition and one Event name both, and Ready is untouched
    condition = disputed(told)
    assert (condition["status"], condition["reason"]) == ("True", Reason.OTHER_MANAGER)
    assert "manager other keeps changing PodDisruptionBudget rtx-engine" in condition["message"]
    assert told["conditions"][0] == BEFORE["conditions"][0]
    [event] = events_between(BEFORE, told)
    assert (event.reason, event.is_warning) == (Reason.OTHER_MANAGER, True)

    # When it goes on, then status does not change
    later = Dispute("PodDisruptionBudget", "rtx-engine", ("other",), 160.0)
    assert after_disputes(dict(told), 1, [later], NOON) == told
    # When it is over, then the condition says so
    assert disputed(after_disputes(dict(told), 1, [], NOON))["status"] == "False"


def test_engine_without_a_dispute_has_no_such_condition() -> None:
    assert after_disputes(dict(BEFORE), 1, [], NOON) == BEFORE


async def test_repeated_event_counts_up_also_for_the_next_leader() -> None:
    # Given an engine
    server = ApiServer()
    meta = {"namespace": "trading", "name": "rtx", "uid": "uid-1", "resourceVersion": "7"}
    engine = {"apiVersion": ENGINE.api_version, "kind": ENGINE.kind, "metadata": meta}

    # When one thing happens three times, and another one once
    async with serving(server) as client:
        for _ in range(3):
            await events.record(client, engine, EventReason.REPAIRED, "PodDisruptionBudget rtx-engine: restored")
        await events.record(client, engine, EventReason.DELETED, "deleted Job x: no longer needed")

    # Then there is one Event for each, with its number
    found = [one for path, one in server.objects.items() if f"/{EVENT.plural}/" in path]
    assert sorted((one["reason"], one["count"]) for one in found) == [("Deleted", 1), ("Repaired", 3)]
