"""What the API server refuses, and only a person can change: told in its own words, and given up after 45 s."""

from datetime import timedelta

import pytest
from api_server import ApiServer, serving
from cutover_walks import last_result
from cutover_world import World
from retirement_walks import stalled
from rtx_operator.api.enums import ConditionType, CutoverPhase, Reason
from rtx_operator.cluster.apply import Applier
from rtx_operator.cluster.client import ConflictError
from rtx_operator.cluster.perform.objects import ObjectPerformer
from rtx_operator.cluster.perform.refusals import Refusals
from rtx_operator.cluster.read_cache import ReadCache
from rtx_operator.cluster.resources import BY_KIND, EVENT, SECRET, STATEFUL_SET
from rtx_operator.cluster.resources import ENGINE as ENGINE_KIND
from rtx_operator.decision.outcome import Outcome
from rtx_operator.decision.requeue import REFUSED_SECONDS, requeue_after
from rtx_operator.observation import Object, Owner
from rtx_operator.operations.effects import EffectName, Scale

OWNER = Owner("trading", "rtx", "uid-1")
ENGINE = ("trading", "rtx")


@pytest.mark.parametrize(
    ("refused", "phase"),
    [
        ("Job", CutoverPhase.MIGRATING),
        ("Deployment", CutoverPhase.PROVISIONING),
        ("ControllerRevision", CutoverPhase.PROVISIONING),
    ],
)
def test_object_that_may_not_be_made_ends_the_upgrade_with_its_cause(
    world: World, refused: str, phase: CutoverPhase
) -> None:
    # Given a namespace in which no more objects of a kind may be made
    world.faults.update({f"quota:{refused}", "unready:1.1.0"})
    world.set_spec(version="1.1.0")
    assert world.run_until(phase)
    begun = world.now

    # When the operator goes on, then it is told at once
    for _ in range(5):
        world.tick()
        world.reconcile()
    assert stalled(world)[:2] == ("True", Reason.QUOTA_EXCEEDED)

    # And the upgrade is given up, long before its deadline, and rolled back although nothing more may be made
    assert world.run_until(CutoverPhase.ROLLING_BACK, 80)
    assert timedelta(seconds=45) < world.now - begun < timedelta(seconds=60)
    assert world.run_until(CutoverPhase.ROLLED_BACK, 80)

    # And its history and the rejection keep the API server's words
    assert last_result(world) == (CutoverPhase.ROLLED_BACK, Reason.QUOTA_EXCEEDED)
    assert "exceeded quota: few" in world.stored["history"][0]["message"]
    assert world.stored["rejected"]["reason"] == Reason.QUOTA_EXCEEDED


@pytest.mark.parametrize(("refused_for", "is_reversed"), [(8, True), (60, False)])
def test_rollback_waits_a_moment_for_a_job_that_may_not_be_made(
    world: World, refused_for: int, *, is_reversed: bool
) -> None:
    # Given a version that has migrated, in a namespace that may have no more Jobs by now
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.TESTING)
    world.faults.add("quota:Job")

    # When its user takes it back
    world.set_spec(version="1.0.0")
    begun = world.now
    while (world.now - begun).total_seconds() < 20:
        if (world.now - begun).total_seconds() > refused_for:
            world.faults.discard("quota:Job")
        world.tick()
        world.reconcile()

    # Then what it migrated stays, which does no harm, unless the Job can be made soon; either way it is over
    jobs = [job for (kind, _), job in world.children.items() if kind == "Job"]
    assert last_result(world) == (CutoverPhase.ROLLED_BACK, Reason.SUPERSEDED)
    assert any("down" in str(job["spec"]) for job in jobs) is is_reversed
    assert stalled(world)[0] == "False"


def test_upgrade_goes_on_when_the_quota_is_raised_in_time(world: World) -> None:
    world.faults.add("quota:Job")
    world.set_spec(version="1.1.0")
    assert not world.run_until(CutoverPhase.ROLLING_BACK, 30)

    world.faults.clear()

    assert world.run_until(CutoverPhase.SUCCEEDED)


def test_autoscaler_that_may_not_be_made_holds_up_no_later_upgrade(world: World) -> None:
    # Given an engine whose autoscaler was deleted, and may not be made again
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MONITORING)
    del world.children["HorizontalPodAutoscaler", "rtx-engine"]
    world.faults.add("quota:HorizontalPodAutoscaler")
    assert world.run_until(CutoverPhase.PROMOTING)

    # When the operator goes on, then the upgrade ends, and the cause stays told
    assert world.run_until(CutoverPhase.SUCCEEDED, 80)
    world.tick()
    world.reconcile()
    assert stalled(world)[:2] == ("True", Reason.QUOTA_EXCEEDED)

    # And another version can follow
    world.set_spec(version="1.2.0")
    assert world.run_until(CutoverPhase.MONITORING)


def test_refused_object_is_not_tried_every_second(world: World) -> None:
    world.faults.add("quota:Job")
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MIGRATING)
    intent = world.intend()
    outcome = world.perform_decision(intent, lambda: None)

    assert outcome.refusal
    assert requeue_after(intent.decision, outcome, now=world.now, resync=300) == REFUSED_SECONDS
    assert requeue_after(intent.decision, Outcome(), now=world.now, resync=300) == 1.0


def test_paused_engine_reports_no_refusal_as_stalled(world: World) -> None:
    world.faults.add("quota:Job")
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MIGRATING)
    world.reconcile()
    world.set_spec(paused=True)

    world.reconcile()

    [reconciling] = [one for one in world.stored["conditions"] if one["type"] == ConditionType.RECONCILING]
    assert reconciling["reason"] == Reason.PAUSED


# --- at the API server -----------------------------------------------------------------------------------------------


def live(server: ApiServer, kind: str = "Deployment", **fields: object) -> Object:
    resource = BY_KIND[kind]
    server.put(resource, "x", kind=kind, **fields)
    found = server.objects[resource.path("trading", "x")]
    return {**found, "metadata": {**found["metadata"], "uid": "uid-x"}}


async def test_refused_scale_is_remembered_until_it_passes() -> None:
    server, refusals = ApiServer(), Refusals()
    server.refuses = True
    async with serving(server) as client:
        performer = ObjectPerformer(client, Applier(client, ReadCache(client)), {}, OWNER, refusals)

        refused = await performer.scale(Scale(EffectName.RESIZE, live(server), 3))

    assert refused is not None
    assert "denied by a webhook" in refused.message
    assert refusals.of(ENGINE) == {("Deployment", "x"): refused}
    refusals.passed(ENGINE, ("Deployment", "x"))
    assert refusals.of(ENGINE) == {}


@pytest.mark.parametrize("why", ["", "had 0 pods, and spec.scaling allows 2 to 4: set to 3"])
async def test_size_that_no_operation_asked_for_is_told_by_an_event(why: str) -> None:
    server = ApiServer()
    engine = {"apiVersion": ENGINE_KIND.api_version, "kind": ENGINE_KIND.kind}
    meta = {"namespace": "trading", "name": "rtx", "uid": "uid-1", "resourceVersion": "7"}
    async with serving(server) as client:
        applier = Applier(client, ReadCache(client))
        performer = ObjectPerformer(client, applier, {**engine, "metadata": meta}, OWNER, Refusals())

        assert await performer.scale(Scale(EffectName.RESIZE, live(server), 3, why)) is None

    told = [(one["reason"], one["message"]) for path, one in server.objects.items() if f"/{EVENT.plural}/" in path]
    assert told == ([("Scaled", f"Deployment x {why}")] if why else [])


async def test_conflict_is_no_refusal() -> None:
    server, refusals = ApiServer(), Refusals()
    server.fails = 409
    async with serving(server) as client:
        performer = ObjectPerformer(client, Applier(client, ReadCache(client)), {}, OWNER, refusals)

        with pytest.raises(ConflictError):
            await performer.scale(Scale(EffectName.RESIZE, live(server), 3))

    assert refusals.of(ENGINE) == {}


async def test_data_is_kept_by_a_merge_of_nothing_else() -> None:
    # Given a Secret that would go with its engine, and a StatefulSet whose volumes would
    server = ApiServer()
    secret = live(server, "Secret", data={"key": "eA=="})
    secret["metadata"]["ownerReferences"] = [{"uid": "uid-1", "controller": True}]
    database = live(server, "StatefulSet", spec={})

    # When their data is to be kept
    async with serving(server) as client:
        performer = ObjectPerformer(client, Applier(client, ReadCache(client)), {}, OWNER, Refusals())
        assert await performer.keep_data((secret, database)) is None

    # Then each has what keeps it, and what it had
    kept = server.objects[SECRET.path("trading", "x")]
    assert (kept["metadata"]["ownerReferences"], kept["data"]) == ([], {"key": "eA=="})
    policy = server.objects[STATEFUL_SET.path("trading", "x")]["spec"]["persistentVolumeClaimRetentionPolicy"]
    assert policy == {"whenDeleted": "Retain"}
