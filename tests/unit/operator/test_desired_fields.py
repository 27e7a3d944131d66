"""The effect of single fields of spec on the objects that are built."""

from typing import Any

import pytest
from desired_objects import (
    AUTOSCALER,
    CACHE,
    DATABASE,
    ENGINE,
    ENGINE_POLICY,
    FULL,
    LIVE_SERVICE,
    MIGRATION_POLICY,
    SMALL,
    build_input,
    built,
    everything,
    job,
    job_pod,
    one,
    pod,
    pods,
    template,
)
from pydantic import ValidationError
from rtx_operator import desired
from rtx_operator.api.names import ENGINE_VARIABLES, ENGINE_VOLUMES
from rtx_operator.api.spec import TradingEngineSpec
from rtx_operator.desired.pods import CREDENTIALS
from rtx_operator.operations.cutover.phases import PHASES as CUTOVER_PHASES
from rtx_operator.operations.retirement.phases import PHASES as RETIREMENT_PHASES

# --- engine pods -----------------------------------------------------------------------------------------------------


def test_pod_labels_and_annotations_are_on_engine_and_migration_pods() -> None:
    added = {"podLabels": {"team": "trading"}, "podAnnotations": {"a": "b"}}

    for metadata in (template(ENGINE, **added)["metadata"], job(**added)["spec"]["template"]["metadata"]):
        assert metadata["labels"]["team"] == "trading"
        assert metadata["annotations"] == {"a": "b"}
    assert "team" not in built(ENGINE, **added)["metadata"]["labels"]
    assert "team" not in built(ENGINE, **added)["spec"]["selector"]["matchLabels"]


def test_labels_and_annotations_of_the_operator_win() -> None:
    # Given a stored object of an older schema, whose labels and annotations hide the operator's
    taken = {"app.kubernetes.io/instance": "other", "rtx-trading.com/colour": "red"}
    fingerprints = desired.Fingerprints(engine="f00", database="f00", cache="f00")
    hidden = {"podLabels": taken, "podAnnotations": {CREDENTIALS: "none"}}
    spec = {**SMALL, **hidden, "database": hidden, "cache": hidden}
    # When all objects are built
    objects = everything(build_input(spec, fingerprints=fingerprints))
    # Then each selector still selects its pods, and new credentials still restart them
    for kind, name in (ENGINE, DATABASE, CACHE):
        workload = one(objects, kind, name)["spec"]
        metadata = workload["template"]["metadata"]
        assert workload["selector"]["matchLabels"].items() <= metadata["labels"].items()
        assert metadata["annotations"][CREDENTIALS] == "f00"


def test_priority_class_is_that_of_engine_and_migration_pods() -> None:
    scheduling = {"priorityClassName": "high"}

    assert pod(ENGINE, scheduling=scheduling)["priorityClassName"] == "high"
    assert job_pod(scheduling=scheduling)["priorityClassName"] == "high"
    assert "priorityClassName" not in pod(ENGINE)


def test_engine_pods_spread_over_zones_and_nodes_unless_spec_says_how() -> None:
    asked = {"topologyKey": "rack", "maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule", "minDomains": 2}
    selector = {"matchLabels": built(ENGINE)["spec"]["selector"]["matchLabels"]}

    spread = pod(ENGINE)["topologySpreadConstraints"]
    given = pod(ENGINE, scheduling={"topologySpreadConstraints": [asked]})["topologySpreadConstraints"]

    assert [one["topologyKey"] for one in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    assert all(one["labelSelector"] == selector for one in spread)
    assert given == [{**asked, "labelSelector": selector}]


@pytest.mark.parametrize(
    ("asked", "users"),
    [
        (None, {"runAsUser": 1000, "runAsGroup": 1000}),
        ({}, {}),
        ({"runAsUser": None, "runAsGroup": None, "fsGroup": None}, {}),
        ({"runAsUser": 7, "fsGroup": 8, "supplementalGroups": [9]}, None),
    ],
)
def test_security_context_has_exactly_the_users_that_are_asked_for(
    asked: dict[str, Any] | None, users: dict[str, Any] | None
) -> None:
    spec = {} if asked is None else {"podSecurityContext": asked}
    expected = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    expected |= (asked or {}) if users is None else users

    assert pod(ENGINE, **spec)["securityContext"] == expected
    assert job_pod(**spec)["securityContext"] == expected


def test_extra_variables_follow_the_operators_own() -> None:
    extra = [
        {"name": "HTTPS_PROXY", "value": "http://proxy"},
        {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "a"}}},
    ]

    env = pod(ENGINE, extraEnv=extra)["containers"][0]["env"]

    assert env[-2:] == extra
    assert [one["name"] for one in env[:-2]] == [one["name"] for one in pod(ENGINE)["containers"][0]["env"]]


def test_reserved_variables_and_volumes_are_all_that_the_operator_sets() -> None:
    # Given an engine with everything that the operator can set
    objects = everything(build_input({**SMALL, "trustedCA": {"name": "ca"}}))
    engine = one(objects, *ENGINE)["spec"]["template"]["spec"]
    (config,) = (thing for thing in objects if thing["kind"] == "ConfigMap" and "engine" in thing["metadata"]["name"])
    # When its variables and volumes are counted, then the API reserves exactly these
    names = {*config["data"], *(variable["name"] for variable in engine["containers"][0]["env"])}
    assert names == set(ENGINE_VARIABLES)
    assert [volume["name"] for volume in engine["volumes"]] == list(ENGINE_VOLUMES)


def test_extra_volumes_are_mounted_in_the_engine_container() -> None:
    volume = {"name": "site", "configMap": {"name": "site", "items": [{"key": "a", "path": "b"}]}}
    mount = {"name": "site", "mountPath": "/etc/rtx-site", "readOnly": True}

    engine = pod(ENGINE, extraVolumes=[volume], extraVolumeMounts=[mount])

    assert [one["name"] for one in engine["volumes"]] == ["tmp", "site"]
    assert engine["volumes"][1] == volume
    assert engine["containers"][0]["volumeMounts"] == [pod(ENGINE)["containers"][0]["volumeMounts"][0], mount]


def test_trusted_ca_is_mounted_and_named_by_ssl_cert_file() -> None:
    engine = pod(ENGINE, trustedCA={"name": "company-ca", "key": "bundle.pem"})
    container = engine["containers"][0]

    (file,) = (one["value"] for one in container["env"] if one["name"] == "SSL_CERT_FILE")
    (volume,) = (one for one in engine["volumes"] if "configMap" in one)
    (mount,) = (one for one in container["volumeMounts"] if one["name"] == volume["name"])
    assert volume["configMap"] == {
        "name": "company-ca",
        "items": [{"key": "bundle.pem", "path": file.removeprefix(f"{mount['mountPath']}/")}],
    }
    assert mount["readOnly"] is True


def test_existing_service_account_is_used_and_none_is_created() -> None:
    objects = everything(build_input({**SMALL, "serviceAccount": {"name": "mine"}}))

    assert [thing["metadata"]["name"] for thing in objects if thing["kind"] == "ServiceAccount"] == ["rtx-postgres"]
    assert one(objects, *ENGINE)["spec"]["template"]["spec"]["serviceAccountName"] == "mine"
    assert job_pod(serviceAccount={"name": "mine"})["serviceAccountName"] == "mine"
    assert pod(ENGINE)["serviceAccountName"] == "rtx-engine"


# --- database and cache ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("field", "name"), [("database", DATABASE), ("cache", CACHE)])
def test_server_has_its_own_pod_fields(field: str, name: tuple[str, str]) -> None:
    # Given a server with each field of its pod
    asked = {
        "scheduling": FULL["database"]["scheduling"],
        "podLabels": {"team": "data"},
        "podAnnotations": {"a": "b"},
        "podSecurityContext": {"fsGroup": 7},
        "serviceAccount": {"name": "mine"},
    }
    # When its StatefulSet is built
    pods = template(name, **{field: asked})
    # Then its pod has them
    assert pods["metadata"]["labels"]["team"] == "data"
    assert pods["metadata"]["annotations"] == {"a": "b"}
    assert pods["spec"]["nodeSelector"] == {"pool": "data"}
    assert pods["spec"]["tolerations"] == [{"key": "data", "operator": "Exists"}]
    assert asked["scheduling"]["affinity"].items() <= pods["spec"]["affinity"].items()
    assert pods["spec"]["priorityClassName"] == "data"
    assert [spread["topologyKey"] for spread in pods["spec"]["topologySpreadConstraints"]] == ["example.com/rack"]
    assert pods["spec"]["serviceAccountName"] == "mine"
    assert {"runAsUser", "runAsGroup"}.isdisjoint(pods["spec"]["securityContext"])
    assert pods["spec"]["securityContext"]["fsGroup"] == 7
    # And the engine's pods and the other server are as without them
    for other in {ENGINE, DATABASE, CACHE} - {name}:
        assert template(other, **{field: asked}) == template(other)


def test_scheduling_of_the_engine_restarts_neither_database_nor_cache() -> None:
    moved = {"scheduling": {"nodeSelector": {"pool": "a"}, "tolerations": [{"key": "a", "operator": "Exists"}]}}

    for name in (DATABASE, CACHE):
        assert built(name, **moved) == built(name)
    assert pod(ENGINE, **moved)["nodeSelector"] == job_pod(**moved)["nodeSelector"] == {"pool": "a"}


# --- traffic ---------------------------------------------------------------------------------------------------------


def test_live_service_has_the_type_and_annotations_of_spec() -> None:
    service = {"type": "LoadBalancer", "annotations": {"a": "b"}, "externalTrafficPolicy": "Local"}
    families = {"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv4", "IPv6"]}

    live = built(LIVE_SERVICE, service={**service, **families})

    assert live["metadata"]["annotations"] == {"a": "b"}
    assert live["spec"].items() >= {"type": "LoadBalancer", "externalTrafficPolicy": "Local", **families}.items()
    assert live["spec"]["sessionAffinity"] == "ClientIP"


def test_services_of_colours_stay_inside_the_cluster() -> None:
    own = ("Service", "rtx-engine-blue")

    assert built(own, service={"type": "LoadBalancer", "annotations": {"a": "b"}}) == built(own)
    assert built(own)["spec"]["type"] == "ClusterIP"


def test_autoscaler_has_the_behavior_of_spec_and_defaults_for_the_rest() -> None:
    default = built(AUTOSCALER)["spec"]["behavior"]
    policies = [{"type": "Pods", "value": 1, "periodSeconds": 120}]

    changed = built(AUTOSCALER, scaling={"behavior": {"scaleDown": {"selectPolicy": "Min", "policies": policies}}})

    assert changed["spec"]["behavior"] == {
        "scaleUp": default["scaleUp"],
        "scaleDown": {"stabilizationWindowSeconds": 300, "selectPolicy": "Min", "policies": policies},
    }


# --- network ---------------------------------------------------------------------------------------------------------


def test_network_policies_can_be_switched_off() -> None:
    objects = everything(build_input({**SMALL, "networkPolicy": {"enabled": False}}))

    assert "NetworkPolicy" not in [thing["kind"] for thing in objects]


def test_ip_blocks_reach_the_http_port_only() -> None:
    rules = built(ENGINE_POLICY, networkPolicy={"ipBlocks": [{"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}]})

    assert rules["spec"]["ingress"][-1] == {
        "from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}],
        "ports": [{"port": 7999, "protocol": "TCP"}],
    }


@pytest.mark.parametrize("policy", [ENGINE_POLICY, MIGRATION_POLICY])
def test_dns_of_engine_and_migration_pods_is_where_spec_says(policy: tuple[str, str]) -> None:
    # Given NodeLocal DNSCache, and OpenShift's port
    dns = {"to": [{"ipBlock": {"cidr": "169.254.20.10/32"}}], "ports": [5353]}
    # When the policy is built
    egress = built(policy, networkPolicy={"dns": dns})["spec"]["egress"]
    # Then it has this rule instead of that for kube-dns
    ports = [{"port": 5353, "protocol": "UDP"}, {"port": 5353, "protocol": "TCP"}]
    assert {"to": dns["to"], "ports": ports} in egress
    assert len(egress) == len(built(policy)["spec"]["egress"])
    assert "kube-dns" not in str(egress)


def test_egress_of_spec_takes_the_place_of_port_443_anywhere() -> None:
    https = {"ports": [{"port": 443, "protocol": "TCP"}]}
    rule = {
        "to": [{"podSelector": {"matchLabels": {"app": "market-data"}}}],
        "ports": [{"port": 80, "protocol": "TCP"}],
    }

    def egress(*rules: Any) -> Any:
        return built(ENGINE_POLICY, networkPolicy={"egress": list(rules)})["spec"]["egress"]

    own = egress()
    assert egress(rule) == [*own, rule]
    assert egress({}) == [*own, {}]  # Kubernetes takes it for everything
    assert built(ENGINE_POLICY)["spec"]["egress"] == [*own, https]


# --- migrations ------------------------------------------------------------------------------------------------------


def test_migration_timeout_limits_jobs_and_phases() -> None:
    spec = {"rollout": {"migrationTimeout": "3h"}}
    rollout = build_input({**SMALL, **spec}).spec.rollout

    assert job(**spec)["spec"]["activeDeadlineSeconds"] == 3 * 3600
    assert job()["spec"]["activeDeadlineSeconds"] == 3600
    for row in (CUTOVER_PHASES.rows["Migrating"], RETIREMENT_PHASES.rows["Contracting"]):  # type: ignore[index]
        assert row.deadline is not None
        assert row.deadline(rollout) == rollout.migration_timeout


def test_new_migration_timeout_changes_the_job_that_runs() -> None:
    # Kubernetes lets a Job's deadline change; a Job of another name would run the migration a second time.
    assert job(rollout={"migrationTimeout": "3h"})["metadata"]["name"] == job()["metadata"]["name"]


def test_migration_resources_are_those_of_a_new_job() -> None:
    spec = {"rollout": {"migrationResources": {"limits": {"memory": "1Gi"}}}}

    assert job_pod()["containers"][0]["resources"] == {
        "requests": {"cpu": "100m", "memory": "128Mi"},
        "limits": {"cpu": "500m", "memory": "256Mi"},
    }
    assert job_pod(**spec)["containers"][0]["resources"]["limits"] == {"cpu": "500m", "memory": "1Gi"}
    assert job(**spec)["metadata"]["name"] != job()["metadata"]["name"]


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec",
    [
        {"podSecurityContext": {"runAsUser": 0}},
        {"extraVolumes": [{"name": "a", "hostPath": {"path": "/"}}]},
        {"scheduling": {"topologySpreadConstraints": []}},
        {"rollout": {"migrationTimeout": "10s"}},
        {"networkPolicy": {"dns": {"ports": []}}},
    ],
)
def test_wrong_value_is_refused_by_the_model_too(spec: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TradingEngineSpec.model_validate({**SMALL, **spec})


def test_every_pod_of_the_full_engine_may_run_under_pod_security_restricted() -> None:
    allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret", "csi"}

    for found in pods(everything(build_input(FULL))):
        for volume in found["volumes"]:
            assert volume.keys() - {"name"} <= allowed
