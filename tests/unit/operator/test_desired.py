"""The builders: golden YAML of whole engines, and properties that no golden file shows."""

import os
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from desired_objects import FULL, SMALL, blue, build_input, everything, one, pods
from hypothesis import given
from hypothesis import strategies as st
from rtx_operator import desired
from rtx_operator.api.enums import Colour
from rtx_operator.api.spec import TradingEngineSpec
from rtx_operator.desired.render import render

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(("name", "spec"), [("small", SMALL), ("full", FULL)])
def test_all_objects_of_an_engine_equal_the_golden_file(name: str, spec: dict[str, Any]) -> None:
    # Given a spec, when everything is built
    built = everything(build_input(spec, orders_metric=name == "full"))
    text = yaml.safe_dump_all(built, sort_keys=True, width=110, allow_unicode=True)
    file = GOLDEN / f"{name}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text, encoding="utf-8")
    # Then the objects equal the golden file (after a change: UPDATE_GOLDEN=1, and read the difference)
    assert text == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("spec", [SMALL, FULL])
def test_every_object_has_the_labels_and_owner_of_its_engine(spec: dict[str, Any]) -> None:
    for thing in everything(build_input(spec)):
        meta = thing["metadata"]
        assert meta["namespace"] == "rtx-trading"
        assert meta["labels"]["rtx-trading.com/engine"] == "rtx"
        assert meta["labels"]["app.kubernetes.io/managed-by"] == "rtx-operator"
        owners = meta.get("ownerReferences", [])
        is_data = thing["kind"] == "Secret" or meta["name"] in {"rtx-postgres-config", "rtx-postgres-sync"}
        kept = is_data and spec.get("deletionPolicy") != "Delete"
        assert [owner["uid"] for owner in owners] == ([] if kept else [build_input().uid])


@pytest.mark.parametrize("spec", [SMALL, FULL])
def test_no_object_has_the_label_by_which_helm_and_argo_cd_select_and_prune(spec: dict[str, Any]) -> None:
    # Neither in its labels, nor in its pods', its claims' and its selectors
    assert "app.kubernetes.io/instance" not in yaml.safe_dump_all(everything(build_input(spec)))


@pytest.mark.parametrize("spec", [SMALL, FULL])
def test_every_selector_is_of_the_engine_alone(spec: dict[str, Any]) -> None:
    # Given the pods of a chart or an application called like the engine, with all recommended labels
    foreign = {
        "app.kubernetes.io/name": "rtx-engine",
        "app.kubernetes.io/instance": "rtx",
        "app.kubernetes.io/component": "engine",
        "app.kubernetes.io/part-of": "trading-engine",
        "app.kubernetes.io/managed-by": "Helm",
    }
    # Then no Service, workload, budget or policy selects them
    for thing in everything(build_input(spec)):
        selectors = [thing.get("spec", {}).get(field) for field in ("selector", "podSelector")]
        for selector in filter(None, selectors):
            labels = selector.get("matchLabels", selector)
            assert not labels.items() <= foreign.items(), f"{thing['kind']} {thing['metadata']['name']}"


def test_what_outlives_the_engine_is_not_pruned_by_argo_cd_and_helm() -> None:
    # Given an engine with deletionPolicy Retain
    built = everything(build_input(SMALL))
    claims = [claim for thing in built for claim in thing.get("spec", {}).get("volumeClaimTemplates", [])]
    state = [thing for thing in built if thing["metadata"]["name"] == "rtx-postgres-config"]
    kept = [*(thing for thing in built if thing["kind"] == "Secret"), *state, *claims]
    # Then its Secrets, its volume claims and the state of its database say so
    assert len(kept) == 7
    for thing in kept:
        annotations = thing["metadata"]["annotations"]
        assert annotations["argocd.argoproj.io/sync-options"] == "Prune=false,Delete=false"
        assert annotations["helm.sh/resource-policy"] == "keep"


@pytest.mark.parametrize("spec", [SMALL, FULL])
def test_every_pod_passes_pod_security_restricted_and_only_the_database_has_a_token(spec: dict[str, Any]) -> None:
    found = pods(everything(build_input(spec)))
    assert len(found) == 7  # engine, migration, database, cache, repository, full and incremental backups
    for pod in found:
        is_database = pod["containers"][0]["name"] == "postgres"  # Patroni keeps its lock at the API server
        assert pod["automountServiceAccountToken"] is is_database
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_deployment_leaves_replicas_unset() -> None:
    deployment = one(everything(build_input(FULL)), "Deployment", "rtx-engine-blue")
    assert "replicas" not in deployment["spec"]


def test_two_builds_are_equal_and_share_no_data() -> None:
    # Given built objects that are changed in place
    first = everything(build_input())
    for thing in first:
        thing["metadata"].clear()
    # When the same objects are built again, then they are unchanged
    assert all(thing["metadata"]["name"] for thing in everything(build_input()))


@given(text=st.text(max_size=60))
def test_broker_name_cannot_change_the_structure_of_an_object(text: str) -> None:
    # Given any text as the broker's name
    spec = TradingEngineSpec.model_validate(SMALL).model_copy(update={"broker": _broker(text)})
    built = build_input()
    edited = desired.BuildInput(**{**_fields(built), "spec": spec})
    # When its ConfigMap is built, then it has exactly this text, and no other change
    config = desired.colour_children(edited, Colour.BLUE, blue(edited))[1]
    ordinary = desired.colour_children(built, Colour.BLUE, blue(built))[1]
    assert config["data"]["BROKER_NAME"] == text
    assert {**config["data"], "BROKER_NAME": ""} == {**ordinary["data"], "BROKER_NAME": ""}


def _broker(name: str) -> Any:
    return TradingEngineSpec.model_validate(SMALL).broker.model_copy(update={"name": name})


def _fields(given: desired.BuildInput) -> dict[str, Any]:
    return {field: getattr(given, field) for field in desired.BuildInput.__dataclass_fields__}


def test_missing_template_value_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="labels"):
        render("engine/configmap", name="rtx", namespace="rtx-trading", owners=[], config={})


# --- revisions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "edit",
    [
        {"version": "1.0.1"},
        {"image": {"repository": "registry.example.com/other"}},
        {"image": {**SMALL["image"], "digest": "sha256:" + "cd" * 32}},  # type: ignore[dict-item]
        {"broker": {"name": "Other"}},
        {"config": {"logLevel": "WARNING"}},
        {"environment": "Staging"},
        {"resources": {"limits": {"cpu": "3"}}},
        {"credentialsSecretRef": {"name": "other"}},
        {"imagePullSecrets": [{"name": "other"}]},
        {"scheduling": {"nodeSelector": {"pool": "other"}}},
    ],
)
def test_edit_that_changes_pods_changes_the_revision(edit: dict[str, Any]) -> None:
    assert desired.revision_spec(build_input({**SMALL, **edit})).hash != desired.revision_spec(build_input()).hash


@pytest.mark.parametrize(
    "edit",
    [
        {"scaling": {"minReplicas": 5, "maxReplicas": 7}},
        {"networkPolicy": {"ingressNamespace": "ingress"}},
        {"database": {"resources": {"limits": {"cpu": "4"}}}},
        {"serviceAccount": {"annotations": {"a": "b"}}},
        {"deletionPolicy": "Delete"},
        {"paused": True},
    ],
)
def test_edit_that_changes_no_pod_keeps_the_revision(edit: dict[str, Any]) -> None:
    assert desired.revision_spec(build_input({**SMALL, **edit})).hash == desired.revision_spec(build_input()).hash


def test_immutable_object_is_named_by_its_content() -> None:
    first, second = build_input(), build_input({**SMALL, "version": "1.0.1", "config": {"logLevel": "DEBUG"}})
    for build in (
        lambda given: desired.migration_job(given, blue(given), "up"),
        lambda given: desired.colour_children(given, Colour.BLUE, blue(given))[0],
        lambda given: desired.colour_children(given, Colour.BLUE, blue(given))[1],
    ):
        assert build(first)["metadata"]["name"] == build(build_input())["metadata"]["name"]
        assert build(first)["metadata"]["name"] != build(second)["metadata"]["name"]


def test_two_cutovers_to_one_version_have_two_jobs() -> None:
    given = build_input()

    def job(cutover: str, *arguments: str) -> desired.Object:
        return desired.migration_job(given, blue(given), *arguments, cutover=cutover)

    first, second, reverse = job("1.1.0-a", "up"), job("1.1.0-b", "up"), job("1.1.0-a", "down")
    assert len({one["metadata"]["name"] for one in (first, second, reverse)}) == 3
    assert first["metadata"]["labels"]["rtx-trading.com/cutover"] == "1.1.0-a"
    assert pods([reverse])[0]["containers"][0]["args"] == ["migrate", "down", "--cutover", "1.1.0-a"]


@pytest.mark.parametrize("colour", list(Colour))
def test_traffic_objects_lead_to_one_colour_only(colour: Colour) -> None:
    service, scaler = desired.traffic_children(build_input(), colour)
    assert service["spec"]["selector"]["rtx-trading.com/colour"] == colour
    assert scaler["spec"]["scaleTargetRef"]["name"] == f"rtx-engine-{colour}"


@pytest.mark.parametrize("spec", [{**SMALL, "environment": "Development"}, {**SMALL, "scaling": {"maxReplicas": 1}}])
def test_fixed_size_needs_no_autoscaler(spec: dict[str, Any]) -> None:
    built = desired.traffic_children(build_input(spec), Colour.BLUE)
    assert "HorizontalPodAutoscaler" not in [thing["kind"] for thing in built]


def test_autoscaler_uses_orders_per_second_only_where_the_cluster_serves_them() -> None:
    def metrics(*, served: bool) -> list[str]:
        scaler = desired.traffic_children(build_input(orders_metric=served), Colour.BLUE)[-1]
        return [metric["type"] for metric in scaler["spec"]["metrics"]]

    assert metrics(served=False) == ["Resource", "Resource"]
    assert metrics(served=True) == ["Resource", "Resource", "Pods"]


def test_names_of_the_longest_engine_stay_within_63_characters() -> None:
    # Given the longest name that the API accepts
    longest = desired.BuildInput(**{**_fields(build_input()), "name": "n" * 40})
    # When everything is built, then each name that becomes a label or a host name fits, with its suffix
    appended = {"StatefulSet": len("-0123456789"), "Job": 0, "Service": 0, "Deployment": 0}
    for thing in everything(longest):
        if thing["kind"] != "ControllerRevision":  # its name becomes neither
            assert len(thing["metadata"]["name"]) + appended.get(thing["kind"], 0) <= 63
