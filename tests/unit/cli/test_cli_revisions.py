"""The change of spec that goes back to a recorded revision."""

from typing import Any

import pytest
from cli_objects import NEW, NEW_REVISION, OLD, OLD_REVISION, cutover, engine, record, release
from golden_text import assert_golden
from hypothesis import given
from hypothesis import strategies as st
from rtx_cli.decide import revisions
from rtx_cli.decide.engine import Engine
from rtx_cli.decide.revisions import POD_FIELDS, change_to, chosen, recorded
from rtx_cli.exits import CliError
from rtx_cli.render.history import cutovers_table, revisions_table
from rtx_cli.render.text import PLAIN
from rtx_operator.api.enums import Colour, CutoverPhase
from rtx_operator.api.names import REFRESH
from rtx_operator.api.spec import TradingEngineSpec
from rtx_operator.desired.revision import POD_FIELDS as FIELDS_OF_THE_OPERATOR
from rtx_operator.desired.revision import pod_inputs

IMAGE = {"repository": "localhost/rtx-engine"}
RECORDS = (
    record(OLD_REVISION, Colour.BLUE, "2026-11-26T10:00:00Z", version=OLD, image=IMAGE),
    record(NEW_REVISION, Colour.GREEN, "2026-11-27T10:00:00Z", version=NEW, image=IMAGE, podLabels={"a": "b"}),
    {"kind": "ControllerRevision", "metadata": {"name": "rtx-database-x"}, "data": {"server": {}}},
)
KEPT = {**release(), "retireAfter": "2026-11-27T13:00:00Z"}
ON_NEW = engine(
    spec={"version": NEW, "podLabels": {"a": "b"}},
    active={**release(Colour.GREEN, NEW, NEW_REVISION), "configHash": "c2"},
    previous=KEPT,
)


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def test_fields_are_those_of_the_operator() -> None:
    # given the fields that the operator makes engine pods from, then the plugin knows the same
    aliases = {TradingEngineSpec.model_fields[name].alias or name for name in FIELDS_OF_THE_OPERATOR}
    assert set(POD_FIELDS) == aliases


def test_rollback_goes_to_the_kept_release() -> None:
    # given version 1.1.0, with 1.0.0 kept
    now = Engine.of(ON_NEW)
    goal = chosen(now, recorded(RECORDS), None)

    # when spec is changed back, then it has just what shaped the pods of 1.0.0
    patch = change_to(now, goal)
    assert goal.revision == OLD_REVISION
    assert patch == {"spec": {"version": OLD, "image": {"pullPolicy": None}, "podLabels": None}}


def test_revision_is_found_by_the_beginning_of_its_hash() -> None:
    now = Engine.of(ON_NEW)
    assert chosen(now, recorded(RECORDS), "aaaa").version == OLD
    with pytest.raises(CliError, match="ffff is no recorded revision of rtx: those are bbbb2222"):
        chosen(now, recorded(RECORDS), "ffff")


def test_without_a_kept_release_the_remedy_is_named() -> None:
    with pytest.raises(CliError, match="name a revision of `history` with --to"):
        chosen(Engine.of(engine()), recorded(RECORDS), None)


def test_refresh_of_another_revision_is_taken_back() -> None:
    # given a refresh that the earlier revision had not
    manifest = {**ON_NEW, "metadata": {**ON_NEW["metadata"], "annotations": {REFRESH: "200"}}}
    now = Engine.of(manifest)

    # then going back removes the annotation; another value would restart database and cache
    assert change_to(now, chosen(now, recorded(RECORDS), None))["metadata"] == {"annotations": {REFRESH: None}}


def test_annotations_of_the_service_account_stay() -> None:
    # given annotations of the account, which shape no pod
    account = {"name": "mine", "annotations": {"role": "arn"}}
    now = Engine.of({**ON_NEW, "spec": {**ON_NEW["spec"], "serviceAccount": account}})

    # then going back to a revision without an account keeps them
    patch = change_to(now, chosen(now, recorded(RECORDS), None))
    assert merged(now.spec, patch["spec"])["serviceAccount"] == {"annotations": {"role": "arn"}}


def test_abort_goes_back_to_where_the_cutover_came_from() -> None:
    # given a cutover to 1.1.0 under way
    now = Engine.of(engine(spec={"version": NEW, "podLabels": {"a": "b"}}, cutover=cutover(CutoverPhase.TESTING)))
    assert now.cutover
    assert revisions.source(now, now.cutover, recorded(RECORDS)).version == OLD


PODS = st.fixed_dictionaries(
    {"version": st.sampled_from(["1.0.0", "1.1.0"]), "image": st.just(IMAGE)},
    optional={
        "environment": st.sampled_from(["Development", "Production"]),
        "podLabels": st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy"), max_size=3),
        "podSecurityContext": st.sampled_from([{}, {"runAsUser": 5}, {"runAsUser": 6, "runAsGroup": 7}]),
        "resources": st.sampled_from([{"requests": {"cpu": "1"}}, {"limits": {"memory": "1Gi"}}]),
        "extraEnv": st.sampled_from([[{"name": "A", "value": "1"}], [{"name": "B", "value": "2"}]]),
        "config": st.sampled_from([{"logLevel": "DEBUG"}, {"databaseConnections": 3}]),
        "imagePullSecrets": st.sampled_from([[{"name": "s"}]]),
        "serviceAccount": st.sampled_from([{"name": "mine"}, {"name": "mine", "annotations": {"a": "b"}}]),
    },
)


@given(before=PODS, after=PODS)
def test_going_back_asks_for_exactly_the_recorded_revision(before: dict[str, Any], after: dict[str, Any]) -> None:
    # given any two specs, the one recorded as the operator records it
    inputs = pod_inputs(TradingEngineSpec.model_validate(before))
    goal = recorded([record("r", Colour.BLUE, "2026-11-26T10:00:00Z", **inputs)])[0]

    # when the other goes back to it
    spec = merged(after, change_to(Engine.of({**ON_NEW, "spec": after}), goal).get("spec", {}))

    # then the operator finds the recorded revision in it
    assert pod_inputs(TradingEngineSpec.model_validate(spec)) == inputs


def test_history_is_a_table() -> None:
    # given a cutover that succeeded and one that was rolled back
    past = {
        "id": "c-1",
        "fromVersion": OLD,
        "toVersion": NEW,
        "startedAt": "2026-11-27T10:00:00Z",
        "endedAt": "2026-11-27T10:00:33Z",
    }
    succeeded = {
        **past,
        "result": "Succeeded",
        "judged": "Traffic",
        "requests": 2912,
        "fencedAt": "2026-11-27T10:00:20Z",
        "switchedAt": "2026-11-27T10:00:20.419000Z",
    }
    message = "version 1.1.0 failed 28 of 173 requests (16.2 %, allowed are 1 %)"
    rolled_back = {**past, "result": "RolledBack", "reason": "TooManyErrors", "message": message}
    now = Engine.of({**ON_NEW, "status": {**ON_NEW["status"], "history": [rolled_back, succeeded]}})

    # then each is a line, and so is each revision
    lines = [*cutovers_table(now, PLAIN), "", *revisions_table(now, recorded(RECORDS), PLAIN)]
    assert_golden("history", lines)
