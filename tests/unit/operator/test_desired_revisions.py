"""Which fields of spec are part of a revision, and how it is recorded."""

import json
from typing import Any

import pytest
from desired_objects import ENGINE, FULL, SMALL, blue, build_input, everything, one, template
from rtx_operator import desired
from rtx_operator.api.engine import OperatorTooOldError
from rtx_operator.api.enums import Colour
from rtx_operator.api.spec import TradingEngineSpec
from rtx_operator.desired.revision import POD_FIELDS, pod_inputs
from rtx_operator.observation import Observation

# A change of any of these makes no upgrade. A new field of spec belongs here, or among POD_FIELDS.
OTHER_FIELDS = {
    "backup",
    "cache",
    "database",
    "deletion_policy",
    "network_policy",
    "paused",
    "rollout",
    "scaling",
    "service",
}


@pytest.mark.parametrize(
    ("spec", "earlier"),
    [
        (SMALL, "80bd506073"),
        (FULL, "70eef7dec1"),
    ],
)
def test_hash_of_an_unchanged_spec_is_that_of_earlier_releases(spec: dict[str, Any], earlier: str) -> None:
    # Given the hash by which earlier releases of the operator know what runs
    # When this one computes it
    # Then it is the same. A release that changes it upgrades every engine by itself: never edit these hashes
    assert desired.revision_spec(build_input(spec)).hash == earlier


def test_every_field_of_spec_is_known_to_shape_pods_or_not_to() -> None:
    assert set(POD_FIELDS).isdisjoint(OTHER_FIELDS)
    assert set(POD_FIELDS) | OTHER_FIELDS == set(TradingEngineSpec.model_fields)


# The smallest spec as an API server stores it: with the defaults of the release that was there when it was written.
STORED: dict[str, Any] = {
    **SMALL,
    "image": {**SMALL["image"], "pullPolicy": "IfNotPresent"},
    "broker": {"name": "RTX Trading", "executionMode": "BBook", "priceFeed": "Simulated"},
    "resources": {"requests": {}, "limits": {}},
    "scheduling": {"nodeSelector": {}, "tolerations": []},
    "podLabels": {},
    "podAnnotations": {},
    "extraEnv": [],
    "extraVolumes": [],
    "extraVolumeMounts": [],
    "imagePullSecrets": [],
    "serviceAccount": {"annotations": {}},
    "config": {"logLevel": "INFO"},
}


def test_stored_defaults_are_no_part_of_the_revision() -> None:
    # Given a stored spec; when it is read by a release whose fields have the same defaults, then it asks for the same.
    # A release that changes the default of one of these fields upgrades every engine by itself: never edit STORED
    assert pod_inputs(TradingEngineSpec.model_validate(STORED)) == {
        "version": SMALL["version"],
        "image": SMALL["image"],
    }


@pytest.mark.parametrize(
    "edit",
    [
        {"version": "1.0.1"},
        {"podLabels": {"team": "trading"}},
        {"podAnnotations": {"a": "b"}},
        {"podSecurityContext": {}},
        {"podSecurityContext": {"runAsUser": 2000}},
        {"extraEnv": [{"name": "A", "value": "b"}]},
        {"extraVolumes": [{"name": "a", "emptyDir": {}}]},
        {
            "extraVolumes": [{"name": "a", "emptyDir": {}}],
            "extraVolumeMounts": [{"name": "a", "mountPath": "/a"}],
        },
        {"trustedCA": {"name": "ca"}},
        {"serviceAccount": {"name": "mine"}},
        {"scheduling": {"priorityClassName": "high"}},
        {"scheduling": {"topologySpreadConstraints": [{"topologyKey": "rack"}]}},
    ],
)
def test_field_that_shapes_engine_pods_is_part_of_the_revision(edit: dict[str, Any]) -> None:
    # Given a revision with the field, recorded in its ControllerRevision
    given = build_input({**SMALL, **edit})
    made = desired.colour_children(given, Colour.BLUE, blue(given))
    record = read(made[0])
    # When a colour is built from it after the spec has lost the field
    after = one(desired.colour_children(build_input(), Colour.BLUE, record), *ENGINE)
    # Then its hash is its own, and its pods are unchanged
    assert record.revision != desired.revision_spec(build_input()).hash
    assert after == one(made, *ENGINE)
    assert after["spec"]["template"] != template(ENGINE)


@pytest.mark.parametrize(
    "edit",
    [
        {"scaling": {"behavior": {"scaleUp": {"stabilizationWindowSeconds": 0}}}},
        {"service": {"type": "LoadBalancer"}},
        {"networkPolicy": {"enabled": False}},
        {"rollout": {"migrationTimeout": "3h", "migrationResources": {"limits": {"memory": "1Gi"}}}},
        {"database": {"scheduling": {"nodeSelector": {"a": "b"}}, "podLabels": {"a": "b"}}},
        {"cache": {"scheduling": {"nodeSelector": {"a": "b"}}, "serviceAccount": {"name": "a"}}},
        {"serviceAccount": {"annotations": {"a": "b"}}},
        {"resources": {"requests": {}, "limits": {}}},
    ],
)
def test_field_that_changes_no_engine_pod_is_no_part_of_the_revision(edit: dict[str, Any]) -> None:
    assert desired.revision_spec(build_input({**SMALL, **edit})).hash == desired.revision_spec(build_input()).hash


def test_cpu_is_the_same_as_a_number_and_as_text() -> None:
    def resources(cpu: object) -> Any:
        return desired.revision_spec(build_input({**SMALL, "resources": {"requests": {"cpu": cpu}}}))

    assert resources(2).resources["requests"]["cpu"] == "2"
    assert resources(2).hash == resources("2").hash


# --- records ---------------------------------------------------------------------------------------------------------


def read(controller_revision: desired.Object) -> desired.Record:
    """The record as the API server gives it back."""
    data = json.loads(json.dumps(controller_revision["data"]))
    return desired.Record.of(controller_revision["metadata"]["name"], data)


@pytest.mark.parametrize("spec", [SMALL, FULL])
def test_record_is_read_as_it_was_written(spec: dict[str, Any]) -> None:
    # Given the record of a revision
    given = build_input(spec)
    made = desired.controller_revision(given, Colour.BLUE, blue(given))
    # When it is read, and written again
    record = read(made)
    # Then nothing has changed: a ControllerRevision cannot
    assert record == blue(given)
    assert desired.controller_revision(given, Colour.BLUE, record) == made


def test_record_holds_no_password() -> None:
    # Given an engine whose passwords are known, and their fingerprint stands on its pods
    given = build_input(fingerprints=desired.Fingerprints(engine="f1"))
    objects = everything(given)
    assert "f1" in json.dumps(one(objects, *ENGINE))
    # Then the record has no fingerprint: it outlives the passwords
    assert "f1" not in json.dumps(objects[[thing["kind"] for thing in objects].index("ControllerRevision")])


def test_record_of_a_later_layout_is_refused() -> None:
    made = desired.controller_revision(build_input(), Colour.BLUE, blue(build_input()))
    made["data"]["layout"] += 1

    with pytest.raises(OperatorTooOldError, match=r"data\.layout of ControllerRevision rtx-engine-blue-"):
        read(made)


def test_record_with_fields_of_a_later_release_is_read_as_far_as_it_is_known() -> None:
    made = desired.controller_revision(build_input(), Colour.BLUE, blue(build_input()))
    made["data"]["later"] = {"a": 1}

    assert read(made) == blue(build_input())


@pytest.mark.parametrize("spec", [SMALL, FULL])
def test_lost_record_is_as_it_was_where_the_api_server_and_others_added_to_the_deployment(spec: dict[str, Any]) -> None:
    # Given a colour that runs, without its record; its Deployment as an API server keeps it, with a container of others
    given = build_input(spec, fingerprints=desired.Fingerprints(engine="f1"))
    wanted, objects = desired.revision_spec(given), everything(given)
    deployment = one(objects, "Deployment", given.names.colour(Colour.BLUE))
    stored = as_stored(deployment)
    stored["spec"]["replicas"] = 2
    stored["spec"]["template"]["spec"]["containers"].insert(0, {"name": "agent", "image": "example.com/agent:1"})
    config = next(
        thing for thing in objects if thing["kind"] == "ConfigMap" and "-engine-" in thing["metadata"]["name"]
    )
    children = {(thing["kind"], thing["metadata"]["name"]): thing for thing in (stored, config)}

    # When it is recorded again
    record = desired.running(given, Colour.BLUE, wanted.hash, wanted, Observation(children=children, pods=()))

    # Then the record is what it was
    assert record == blue(given)


def as_stored(value: Any) -> Any:
    """The value with defaults, and without empty lists and objects."""
    if isinstance(value, list):
        return [as_stored(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    kept = {key: as_stored(inner) for key, inner in value.items() if inner not in ([], {})}
    defaults = {"terminationMessagePath": "/dev/termination-log"} if "image" in value else {}
    return {**kept, **defaults, **({"creationTimestamp": None} if "labels" in value else {})}
