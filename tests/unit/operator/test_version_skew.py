"""An older operator meets what a newer one wrote: it keeps what it does not know, or keeps its hands off."""

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from api_server import ApiServer
from cutover_walks import upgraded
from cutover_world import World
from operator_release import another_field
from rtx_operator.api import crd
from rtx_operator.api.engine import OperatorTooOldError, TradingEngine
from rtx_operator.api.enums import ConditionType, CutoverPhase, Reason
from rtx_operator.api.kinds import KINDS
from rtx_operator.cluster.resources import ENGINE
from rtx_operator.observation import FENCE_SCHEMA, FenceSchema, Object
from rtx_operator.operations.effects import EffectName
from test_controller import KEY, PATH, SPEC, condition, controller

RELEASE = {"colour": "blue", "version": "1.0.0", "revision": "h1"}
ACTIVE = {**RELEASE, "configHash": "c1", "epoch": 1}
TIMES = {"startedAt": "2026-01-01T12:00:00Z", "since": "2026-01-01T12:00:00Z"}
CUTOVER = {"id": "1.1.0-a", "phase": "Monitoring", "from": RELEASE, "to": {**RELEASE, "colour": "green"}, **TIMES}
RETIREMENT = {"id": "r", "phase": "Emptying", "release": RELEASE, **TIMES}


def manifest(status: Object | None = None, **spec: Any) -> Object:
    meta = {"namespace": "trading", "name": "rtx", "uid": "u", "resourceVersion": "7", "generation": 2}
    return {"metadata": meta, "spec": {**SPEC, **spec}, "status": status or {}}


# --- spec ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec", [{"later": 1}, {"rollout": {"later": {"a": 1}}}, {"extraEnv": [{"name": "A", "later": 1}]}]
)
def test_spec_field_of_a_newer_release_is_ignored(spec: Object) -> None:
    assert TradingEngine.parse(manifest(**spec)).spec.version == SPEC["version"]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"database": {"type": "External"}}, r"spec\.database\.type is 'External'"),
        ({"rollout": {"strategy": "Canary"}}, r"spec\.rollout\.strategy is 'Canary'"),
        # Without it, the volume would be an empty folder, and the policy would let more through.
        ({"extraVolumes": [{"name": "a", "nfs": {}}]}, r"spec\.extraVolumes\.0\.nfs is {}"),
        (
            {"networkPolicy": {"extraPeers": [{"name": "a", "later": 1}]}},
            r"spec\.networkPolicy\.extraPeers\.0\.later is 1",
        ),
        # A field of the newer release beside it hides nothing.
        ({"later": 1, "broker": {"executionMode": "ABook"}}, r"spec\.broker\.executionMode is 'ABook'"),
    ],
)
def test_unknown_choice_in_spec_means_a_newer_operator(spec: Object, field: str) -> None:
    with pytest.raises(OperatorTooOldError, match=field):
        TradingEngine.parse(manifest(**spec))


# --- status ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "field"),
    [
        ({"active": {**ACTIVE, "colour": "red"}}, r"status\.active\.colour is 'red'"),
        ({"active": ACTIVE, "cutover": {**CUTOVER, "phase": "Canary"}}, r"status\.cutover\.phase is 'Canary'"),
        ({"active": ACTIVE, "retirement": {**RETIREMENT, "phase": "Later"}}, r"status\.retirement\.phase is 'Later'"),
        ({"active": ACTIVE, "previous": {**RELEASE, "colour": "red"}}, r"status\.previous\.colour is 'red'"),
        ({"active": ACTIVE, "cutover": "later"}, r"status\.cutover is 'later'"),
    ],
)
def test_unknown_record_in_status_means_a_newer_operator(status: Object, field: str) -> None:
    with pytest.raises(OperatorTooOldError, match=field):
        TradingEngine.parse(manifest(status))


def test_what_status_only_reports_is_no_reason_to_stop() -> None:
    # Given conditions, pods and a history in the words of a newer release
    times = {"startedAt": TIMES["since"], "endedAt": TIMES["since"]}
    entry = {"id": "x", "fromVersion": "1", "toVersion": "2", "result": "Aborted", **times}
    fresh = {"type": "BackupFresh", "status": "True"}
    status = {"active": ACTIVE, "conditions": [fresh], "pods": {"a": 1}, "history": [entry]}

    # When it is parsed, then what decisions rest on is there
    parsed = TradingEngine.parse(manifest(status)).status
    assert parsed.active
    assert parsed.history[0].result == "Aborted"


@pytest.mark.parametrize("phase", [CutoverPhase.MIGRATING, CutoverPhase.SWITCHING, CutoverPhase.MONITORING])
def test_status_writes_keep_the_fields_of_a_newer_release(world: World, phase: CutoverPhase) -> None:
    # Given a cutover under way, in whose status a newer release has written more
    world.set_spec(version="1.1.0")
    assert world.run_until(phase)
    newer = {"type": "DrillPassed", "status": "True", "reason": "Verified", "message": "m", "lastTransitionTime": "t"}
    stored = world.stored
    stored["later"] = {"a": 1}
    stored["cutover"]["later"] = [1]
    stored["cutover"]["to"]["later"] = "x"
    stored["cutover"]["seconds"]["Later"] = 1.5
    stored["conditions"].append(newer)
    world.status = json.dumps(stored)

    # When this release finishes it
    assert world.run_until(CutoverPhase.SUCCEEDED)

    # Then they are still there
    after = world.stored
    assert after["later"] == {"a": 1}
    assert after["cutover"]["later"] == [1]
    assert after["cutover"]["to"]["later"] == "x"
    assert after["cutover"]["seconds"]["Later"] == 1.5
    assert newer in after["conditions"]


def test_definition_of_status_admits_words_of_later_releases() -> None:
    # A newer operator with this release's CRD must not be refused a whole status because of one word in it
    for kind in KINDS:
        schema = crd.definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
        assert '"enum"' not in json.dumps(schema)


# --- what is done about it -------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> ApiServer:
    made = ApiServer()
    made.put(ENGINE, "rtx", apiVersion=ENGINE.api_version, kind=ENGINE.kind, spec=SPEC)
    made.objects[PATH]["metadata"]["generation"] = 1
    return made


@pytest.mark.parametrize(
    ("spec", "status"),
    [
        ({"database": {"type": "External"}}, {}),
        ({}, {"active": ACTIVE, "cutover": {**CUTOVER, "phase": "Canary"}}),
        ({"database": {"type": "External"}}, {"active": ACTIVE, "cutover": CUTOVER}),
        ({}, {"active": {**ACTIVE, "colour": "red"}}),
    ],
)
async def test_operator_that_is_too_old_changes_nothing_and_says_so(
    server: ApiServer, spec: Object, status: Object
) -> None:
    # Given an engine whose spec or status a newer release has written, in whichever phase
    server.objects[PATH]["spec"] = {**SPEC, **spec}
    server.objects[PATH]["status"] = copy.deepcopy(status)

    # When this release reconciles it
    async with controller(server) as reconcile:
        await reconcile(KEY)

    # Then it writes nothing but the condition that names the field
    assert server.count("PATCH") == server.count("DELETE") == 0
    stalled = condition(server, ConditionType.STALLED)
    assert (stalled["status"], stalled["reason"]) == ("True", Reason.OPERATOR_TOO_OLD)
    assert "this release of the operator does not know" in stalled["message"]
    assert {name: server.objects[PATH]["status"].get(name) for name in status} == status


# --- records of newer releases ---------------------------------------------------------------------------------------


LATER = {"later": {"size": 3}}


def made_by_newer_release(world: World, until: CutoverPhase = CutoverPhase.SUCCEEDED) -> None:
    """A newer release upgrades to 1.1.0, with a field that this one does not know."""
    with another_field(**LATER):
        world.set_spec(version="1.1.0", **LATER)
        assert world.run_until(until)
        world.reconcile()


def test_revision_with_a_field_of_a_newer_release_goes_on_running(world: World) -> None:
    # Given an engine that a newer release made with a field that this one does not know
    made_by_newer_release(world)
    cutover = world.stored["cutover"]["id"]
    made = copy.deepcopy(world.children["Deployment", "rtx-engine-green"]["spec"]["template"])

    # When this release reconciles it, and its Deployment is deleted
    del world.children["Deployment", "rtx-engine-green"]
    for _ in range(5):
        world.tick()
        world.reconcile()

    # Then it is repaired as it was, and no cutover begins
    assert world.children["Deployment", "rtx-engine-green"]["spec"]["template"] == made
    assert world.stored["cutover"]["id"] == cutover


@pytest.mark.parametrize("edit", [{"version": "1.2.0"}, {"later": {"size": 4}}])
def test_upgrade_from_a_revision_with_a_field_of_a_newer_release_is_left_to_that(world: World, edit: Object) -> None:
    # Given such an engine
    made_by_newer_release(world)

    # When its user asks for another revision, then this release does not make it: it would lose the field
    world.set_spec(**edit)
    with pytest.raises(OperatorTooOldError, match=r"spec\.later"):
        world.intend()


@pytest.mark.parametrize("phase", [CutoverPhase.MIGRATING, CutoverPhase.TESTING, CutoverPhase.MONITORING])
def test_cutover_of_a_newer_release_is_finished(world: World, phase: CutoverPhase) -> None:
    # Given a cutover that a newer release began, with a field that this one does not know
    made_by_newer_release(world, phase)
    cutover = world.stored["cutover"]["id"]

    # When this release goes on with it, then it succeeds
    assert world.run_until(CutoverPhase.SUCCEEDED)
    assert world.stored["cutover"]["id"] == cutover


def test_record_of_a_newer_layout_keeps_hands_off(world: World) -> None:
    name = f"rtx-engine-blue-{world.active['revision']}"
    data = world.children["ControllerRevision", name]["data"]
    rewrite(world, name, {**data, "layout": data["layout"] + 1})

    with pytest.raises(OperatorTooOldError, match=r"data\.layout of ControllerRevision"):
        world.intend()


def test_record_of_a_server_in_a_newer_layout_keeps_hands_off(world: World) -> None:
    name = next(name for kind, name in world.children if kind == "ControllerRevision" and "-database-" in name)
    server = world.children["ControllerRevision", name]["data"]["server"]
    rewrite(world, name, {"server": {**server, "layout": server["layout"] + 1}})

    with pytest.raises(OperatorTooOldError, match=r"data\.server\.layout of ControllerRevision"):
        world.intend()


def rewrite(world: World, name: str, data: Object) -> None:
    """A newer release has written this record."""
    record = world.children["ControllerRevision", name]
    meta = {**record["metadata"], "uid": "another"}
    world.children["ControllerRevision", name] = {**record, "metadata": meta, "data": data}


# --- the fence's schema ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [None, CutoverPhase.PROVISIONING, CutoverPhase.PROMOTING])
def test_fence_of_an_earlier_release_is_brought_up_to_date(world: World, phase: CutoverPhase | None) -> None:
    # Given an engine, also amid a cutover, whose fence an earlier release made
    if phase:
        world.set_spec(version="1.1.0")
        assert world.run_until(phase)
    world.fence_schema = FenceSchema(FENCE_SCHEMA - 1, 0)

    # When it is reconciled twice, then it is updated once
    updates = [world.reconcile() for _ in range(2)]
    names = [effect.name for decision in updates if decision for effect in decision.effects]
    assert names.count(EffectName.UPDATE_FENCE) == 1
    assert world.fence_schema.version == FENCE_SCHEMA


def test_fence_of_another_engine_is_not_updated(world: World) -> None:
    world.fence_schema = FenceSchema(FENCE_SCHEMA - 1, 0)
    assert world.fence
    world.fence = replace(world.fence, owner="elsewhere/rtx/uid-2")

    world.reconcile()

    assert world.fence_schema.version == FENCE_SCHEMA - 1


def test_fence_of_a_later_release_is_used_as_long_as_this_one_can(world: World) -> None:
    # Given a fence that a later release brought up to date, such that this one can still use it
    world.fence_schema = FenceSchema(FENCE_SCHEMA + 1, FENCE_SCHEMA)

    # When the version changes, then the cutover succeeds, and the schema is as it was
    upgraded(world)
    assert world.fence_schema.version == FENCE_SCHEMA + 1

    # And when a still later one needs a later operator, then hands off
    world.fence_schema = FenceSchema(FENCE_SCHEMA + 2, FENCE_SCHEMA + 1)
    with pytest.raises(OperatorTooOldError, match="version of the fence's schema"):
        world.intend()


# --- database and cache ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("component", ["database", "cache"])
def test_server_that_a_newer_release_made_is_not_restarted(world: World, component: str) -> None:
    # Given a server that a newer release made with a field of spec that this one does not know
    world.set_spec(**{component: {"resources": {"later": 1}}})
    stored = world.stored
    stored[component]["asked"]["spec"] = "a hash that the field is part of"
    world.status = json.dumps(stored)

    # When this release reconciles it, then no maintenance makes it anew without that field
    with pytest.raises(OperatorTooOldError, match=rf"spec\.{component}\.resources\.later is 1"):
        world.intend()


@pytest.mark.parametrize("component", ["database", "cache"])
def test_server_field_of_a_newer_definition_stops_nothing(world: World, component: str) -> None:
    # Given a field that a newer definition has put into spec, and servers that this release made
    world.set_spec(**{component: {"later": 1}})

    # When the version changes, then the cutover succeeds, and no maintenance begins
    upgraded(world)
    assert "maintenance" not in world.stored
