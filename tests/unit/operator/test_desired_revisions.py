"""Which fields of spec are part of a revision, and how it is recorded."""

from typing import Any

import pytest
from desired_objects import ENGINE, SMALL, build_input, everything, one, template
from rtx_operator import desired
from rtx_operator.api.enums import Colour
from rtx_operator.desired.revision import DEFAULT_SPREAD


@pytest.mark.parametrize(
    ("spec", "before"),
    [
        ({}, "a1256b75ed"),
        (
            {
                "scheduling": {"nodeSelector": {"a": "b"}, "tolerations": [{"operator": "Exists"}]},
                "imagePullSecrets": [{"name": "registry"}],
            },
            "bef915e8b8",
        ),
    ],
)
def test_new_fields_change_no_old_hash(spec: dict[str, Any], before: str) -> None:
    # Given the hash of a revision before most of its fields existed
    # When the present operator computes it, with these fields left out
    # Then it is the same: an upgrade of the operator is no upgrade of engines
    assert desired.revision_spec(build_input({**SMALL, **spec})).hash == before


def test_recorded_revision_has_no_empty_field() -> None:
    # A ControllerRevision cannot change: a later operator, with more fields, must write the same data.
    recorded = one(everything(build_input()), "ControllerRevision", "rtx-engine-a1256b75ed")["data"]["spec"]

    assert set(recorded) == {"version", "image", "pull_policy", "credentials", "config", "resources"}


@pytest.mark.parametrize(
    "edit",
    [
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
    revision = desired.revision_spec(given)
    recorded = desired.RevisionSpec.recorded(desired.controller_revision(given, revision))
    # When a colour is built from it after the spec has lost the field
    before = one(desired.colour_children(given, Colour.BLUE, revision), *ENGINE)
    after = one(desired.colour_children(build_input(), Colour.BLUE, recorded), *ENGINE)
    # Then its hash is its own, and its pods are unchanged
    assert revision.hash != desired.revision_spec(build_input()).hash
    assert after == before
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
        {"podSecurityContext": {"runAsUser": 1000, "runAsGroup": 1000}},
        {"scheduling": {"topologySpreadConstraints": DEFAULT_SPREAD}},
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
