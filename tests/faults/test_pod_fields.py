"""Every field that shapes pods, on real nodes: pods start with it, see what it gives, and an upgrade keeps it."""

from typing import Any

import pytest
from rtx_demo.engine import Engine
from rtx_demo.kubectl import Object
from rtx_demo.sample import Sample
from upgrades import NEW_VERSION, Upgrades, assert_succeeded, upgradable

BEFOREHAND: tuple[Object, ...] = (
    {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "trading"}},
    {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "data"}},
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "calendars"}, "data": {"fx": "24x5"}},
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "company-ca"}, "data": {"ca.crt": "# ours"}},
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "licence"}, "stringData": {"key": "abc"}},
)
SPEC: dict[str, Any] = {
    "resources": {"requests": {"cpu": 0.1, "memory": "128Mi"}, "limits": {"cpu": 0.5, "memory": "256Mi"}},
    "scheduling": {
        "topologySpreadConstraints": [
            {"topologyKey": "kubernetes.io/hostname", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
        ],
        "priorityClassName": "system-cluster-critical",
    },
    "podLabels": {"cost-centre": "4711"},
    "podAnnotations": {"sidecar.istio.io/inject": "false"},
    "podSecurityContext": {"runAsUser": 2000, "runAsGroup": 2000, "fsGroup": 2000, "supplementalGroups": [3000]},
    "extraEnv": [
        {"name": "SITE", "value": "london"},
        {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "LICENCE", "valueFrom": {"secretKeyRef": {"name": "licence", "key": "key"}}},
    ],
    "extraVolumes": [
        {"name": "calendars", "configMap": {"name": "calendars"}},
        {"name": "licence", "secret": {"secretName": "licence"}},
        {"name": "scratch", "emptyDir": {"sizeLimit": "10Mi"}},
        {
            "name": "identity",
            "projected": {"sources": [{"serviceAccountToken": {"audience": "vault", "path": "token"}}]},
        },
    ],
    "extraVolumeMounts": [
        {"name": "calendars", "mountPath": "/etc/rtx-calendars", "readOnly": True},
        {"name": "licence", "mountPath": "/etc/rtx-licence", "readOnly": True},
        {"name": "scratch", "mountPath": "/var/scratch"},
        {"name": "identity", "mountPath": "/var/run/rtx-identity", "readOnly": True},
    ],
    "trustedCA": {"name": "company-ca", "key": "ca.crt"},
    "serviceAccount": {"name": "trading"},
    "service": {"type": "NodePort", "annotations": {"example.com/owner": "desk"}},
    "networkPolicy": {
        "ipBlocks": [{"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}],
        "egress": [{"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}], "ports": [{"port": 443}]}],
        "dns": {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}]},
    },
    "database": {"podSecurityContext": {"runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001}}
    | {"serviceAccount": {"name": "data"}, "podLabels": {"cost-centre": "1"}},
    "cache": {"podSecurityContext": {"runAsUser": 10002, "runAsGroup": 10002, "fsGroup": 10002}},
}
# What a process of the engine's container sees.
PROBE = """
import os
print(os.getuid(), sorted(os.getgroups()), os.environ["SITE"], os.environ["LICENCE"], bool(os.environ["NODE_NAME"]))
print(open("/etc/rtx-calendars/fx").read(), open("/etc/rtx-licence/key").read())
print(open(os.environ["SSL_CERT_FILE"]).read(), os.access("/var/scratch", os.W_OK))
print(os.path.exists("/var/run/rtx-identity/token"))
"""
SEEN = ["2000 [2000, 3000] london abc True", "24x5 abc", "# ours True", "True"]


@pytest.fixture(scope="module")
def shaped(sample: Sample) -> Any:
    with upgradable(sample, *BEFOREHAND, **SPEC) as engine:
        yield engine


def test_pods_have_what_the_fields_give_and_keep_it_in_an_upgrade(shaped: Engine) -> None:
    # Given an engine with every field that shapes pods.
    upgrades = Upgrades(shaped)
    (before, *_) = upgrades.pods(upgrades.status()["active"]["colour"])
    assert _seen_inside(shaped, before) == SEEN

    # When it is upgraded.
    assert_succeeded(upgrades, upgrades.upgrade(NEW_VERSION))

    # Then the new pods have the same.
    (after, *_) = upgrades.pods(upgrades.status()["active"]["colour"])
    assert after["metadata"]["name"] != before["metadata"]["name"]
    assert _seen_inside(shaped, after) == SEEN
    assert after["metadata"]["labels"]["cost-centre"] == "4711"
    assert after["spec"]["serviceAccountName"] == "trading"


def test_database_runs_under_the_user_of_its_own_field(shaped: Engine) -> None:
    database = shaped.kubectl.run("exec", "rtx-postgres-0", "--namespace", shaped.namespace, "--", "id", "-u")

    assert database.strip() == "10001"


def _seen_inside(engine: Engine, pod: Object) -> list[str]:
    where = (pod["metadata"]["name"], "--namespace", engine.namespace, "--container=engine")
    return engine.kubectl.run("exec", *where, "--", "python3", "-c", PROBE).split("\n")[:-1]
