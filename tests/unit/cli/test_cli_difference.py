"""`kubectl tradingengine diff`: what a change of spec begins, by the operator's own rules."""

from typing import Any

import pytest
from cli_objects import NEW, OLD, condition, cutover, engine, record, release
from golden_text import assert_golden
from rtx_cli.decide.difference import Difference, difference, installation
from rtx_cli.exits import CliError
from rtx_cli.render.difference import difference_lines
from rtx_cli.render.text import PLAIN
from rtx_operator.api.enums import Colour, ConditionType, CutoverPhase, Reason
from rtx_operator.api.spec import TradingEngineSpec
from rtx_operator.desired.render import digest
from rtx_operator.desired.revision import pod_inputs

Object = dict[str, Any]
SPEC: Object = {"version": OLD, "image": {"repository": "localhost/rtx-engine"}}


def revision(spec: Object, refresh: str = "") -> str:
    """The hash by which the operator identifies what the spec asks for."""
    inputs = pod_inputs(TradingEngineSpec.model_validate(spec))
    return digest({"spec": inputs, **({"refresh": refresh} if refresh else {})})


def running(spec: Object = SPEC, **status: Any) -> Object:
    """An engine that runs what its spec asks for."""
    runs = {**release(version=spec["version"], revision=revision(spec)), "configHash": "c1", "epoch": 7}
    manifest = engine(**{"active": runs, **status})
    return {**manifest, "spec": spec}


def changed(before: Object, **spec: Any) -> Difference:
    """From an engine to the same with other fields of spec."""
    return difference(before, {**before, "spec": {**before["spec"], **spec}}, {})


def verdict(found: Difference) -> str:
    return "; ".join(found.verdict)


def test_another_version_is_a_cutover() -> None:
    assert verdict(changed(running(), version=NEW)).startswith("a cutover from version 1.0.0 to 1.1.0: expand")


def test_other_pods_of_the_same_version_are_a_cutover() -> None:
    found = changed(running(), podLabels={"team": "fx"})
    assert verdict(found).startswith("a cutover to other pods of version 1.0.0")


@pytest.mark.parametrize(
    "spec",
    [
        {"scaling": {"maxReplicas": 8}},
        {"rollout": {"drainTimeout": "10s"}},
        {"service": {"annotations": {"a": "b"}}},
        {"serviceAccount": {"annotations": {"role": "arn"}}},
        {"database": {"instances": 3}},
        {"database": {"parameters": {"work_mem": "64Mi"}}},
        {"backup": {"retentionDays": 7}},
    ],
)
def test_what_shapes_no_pod_is_carried_out_in_place(spec: Object) -> None:
    found = changed(running(), **spec)
    assert {one.effect for one in found.changes} == {"in place"}
    assert verdict(found).startswith("no pod is replaced")


def test_no_change_is_said() -> None:
    found = changed(running())
    assert (found.changes, verdict(found)) == ((), "nothing changes")


@pytest.mark.parametrize("component", ["database", "cache"])
def test_another_image_of_a_server_is_a_maintenance(component: str) -> None:
    found = changed(running(), **{component: {"image": "registry.example.com/other:1"}})
    assert {one.effect for one in found.changes} == {"maintenance"}
    assert verdict(found).startswith(f"a maintenance of the {component}")


@pytest.mark.parametrize(
    "spec", [{"database": {"parameters": {"wal_buffers": "16Mi"}}}, {"backup": {"type": "Volume"}}]
)
def test_what_the_database_reads_at_its_start_is_a_maintenance(spec: Object) -> None:
    found = changed(running(), **spec)
    assert {one.effect for one in found.changes} == {"maintenance"}
    assert verdict(found).startswith("a maintenance of the database")


def test_of_parameters_only_what_is_read_at_the_start_is_a_maintenance() -> None:
    found = changed(running(), database={"parameters": {"work_mem": "64Mi", "wal_buffers": "16Mi"}})
    effects = {one.path.rpartition(".")[2]: one.effect for one in found.changes}
    assert effects == {"work_mem": "in place", "wal_buffers": "maintenance"}


def test_another_authority_of_the_bucket_is_a_maintenance_and_another_bucket_is_not() -> None:
    store = {"bucket": "one", "endpoint": "s3.example.com", "credentialsSecretRef": {"name": "bucket"}}
    before = running({**SPEC, "backup": {"s3": store}})
    found = changed(before, backup={"s3": {**store, "bucket": "two", "trustedCA": {"name": "ca", "key": "ca.crt"}}})
    effects = {one.path.removeprefix("spec.backup.s3."): one.effect for one in found.changes}
    assert effects.pop("bucket") == "in place"
    assert set(effects.values()) == {"maintenance"}


def test_going_back_to_the_kept_release_is_a_switch() -> None:
    # given version 1.1.0, with 1.0.0 kept
    newer = {**SPEC, "version": NEW}
    previous = {**release(revision=revision(SPEC)), "retireAfter": "2026-11-27T13:00:00Z"}
    before = running(newer, previous=previous)

    # then going back is no deployment
    assert verdict(changed(before, version=OLD)).startswith("a cutover back to version 1.0.0, whose pods are kept")


def test_rejected_revision_is_not_tried_again() -> None:
    # given that 1.1.0 was rolled back, and its spec taken back
    rejected = {"revision": revision({**SPEC, "version": NEW}), "version": NEW, "reason": "TooSlow", "message": "slow"}
    before = running(rejected=rejected)
    assert "rolled back (TooSlow); `retry` tries it again" in verdict(changed(before, version=NEW))


def test_change_amid_a_cutover_takes_it_back() -> None:
    # given a cutover to 1.1.0 under way
    newer = {**SPEC, "version": NEW}
    moving = {**cutover(CutoverPhase.TESTING), "to": release(Colour.GREEN, NEW, revision(newer))}
    before = {**running(cutover=moving), "spec": newer}
    before["status"]["conditions"] = [condition(ConditionType.UP_TO_DATE, False, Reason.CUTOVER_IN_PROGRESS, "moves")]

    # then a third version takes it back first, and 1.0.0 does nothing else
    assert verdict(changed(before, version="1.2.0")).startswith("the cutover 1.0.0 → 1.1.0, which is Testing, is taken")
    assert verdict(changed(before, version=OLD)) == "the cutover 1.0.0 → 1.1.0, which is Testing, is taken back first"


def test_revision_with_a_refresh_is_found_by_its_record() -> None:
    # given pods that were made by a refresh whose annotation is gone
    made = revision(SPEC, "200")
    runs = {**release(revision=made), "configHash": "c1", "epoch": 7}
    before = {**engine(active=runs), "spec": SPEC}
    inputs = pod_inputs(TradingEngineSpec.model_validate(SPEC))
    kept = record(made, Colour.BLUE, "2026-11-26T10:00:00Z", "200", **inputs)
    kept["data"].update(configMap={"name": "c-1", "data": {}}, deployment={}, migration={})
    children = {("ControllerRevision", f"rtx-engine-blue-{made}"): kept}

    # then nothing changes, as the operator sees it
    after = {**before, "spec": {**SPEC, "scaling": {"maxReplicas": 6}}}
    assert verdict(difference(before, after, children)).startswith("no pod is replaced")


def test_pause_is_said() -> None:
    found = changed(running(), version=NEW, paused=True)
    assert "begins when it is resumed" in verdict(found)


def test_other_judgement_than_the_operators_is_said() -> None:
    # given an operator that finds up to date what this release would not
    before = running()
    before["status"]["active"]["revision"] = "made-by-another-release"
    assert "the operator judge the present spec differently" in verdict(changed(before, version=NEW))


def test_status_of_a_later_operator_is_refused_with_a_remedy() -> None:
    before = running(cutover=cutover(CutoverPhase.TESTING))
    before["status"]["cutover"]["phase"] = "AwaitingApproval"
    with pytest.raises(CliError, match="install the plugin of the operator's release"):
        changed(before, version=NEW)


def test_engine_whose_installation_is_under_way_goes_on_with_the_change() -> None:
    # given an engine that has never served
    before = {**engine(active=None), "spec": SPEC}
    assert verdict(changed(before, version=NEW)) == "the installation, which is under way, goes on with version 1.1.0"


def test_new_engine_is_an_installation() -> None:
    assert verdict(installation({"spec": SPEC})) == "a new engine is installed, version 1.0.0"


def test_difference_is_a_table() -> None:
    # given changes of each kind
    before = running(
        {**SPEC, "scaling": {"maxReplicas": 5}, "cache": {"storage": "1Gi"}},
    )
    before["status"]["conditions"] = [condition(ConditionType.READY, True, Reason.SERVING, "2 of 2")]
    found = changed(
        before,
        version=NEW,
        scaling={"maxReplicas": 8},
        database={"image": "registry.example.com/" + "long/" * 12 + "postgres:17"},
        extraEnv=[{"name": "A", "value": "1"}],
    )
    assert_golden("diff", difference_lines(found, PLAIN))
