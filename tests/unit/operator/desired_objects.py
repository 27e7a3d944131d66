"""Two engines, the smallest one and one with every field, and all objects that are built for them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rtx_operator import desired
from rtx_operator.api.enums import Colour, Component
from rtx_operator.api.spec import TradingEngineSpec
from rtx_operator.api.status import TradingEngineStatus
from rtx_operator.desired import backup
from rtx_operator.desired.servers import database_plan, desired_servers
from rtx_operator.desired.state import DesiredServer
from rtx_operator.observation import Observation

SEED = bytes(range(32))
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)

SMALL = {"version": "1.0.0", "image": {"repository": "registry.example.com/rtx-engine"}}
FULL = {
    "version": "2.1.0",
    "image": {
        "repository": "registry.example.com/rtx-engine",
        "digest": "sha256:" + "ab" * 32,
        "pullPolicy": "Always",
    },
    "environment": "Production",
    "broker": {"name": 'O\'Hara & "Söhne": {{ brokers }}'},
    "credentialsSecretRef": {"name": "house-credentials"},
    "resources": {"requests": {"cpu": 1}, "limits": {"memory": "3Gi"}},
    "scheduling": {
        "nodeSelector": {"pool": "trading"},
        "tolerations": [{"key": "dedicated", "value": "trading", "effect": "NoExecute", "tolerationSeconds": 60}],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "topologySpreadConstraints": [
            {"topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule", "minDomains": 3},
        ],
        "priorityClassName": "trading",
    },
    "podLabels": {"team": "trading"},
    "podAnnotations": {"sidecar.istio.io/inject": "false"},
    "podSecurityContext": {"runAsUser": 2000, "runAsGroup": 0, "fsGroup": 2000, "supplementalGroups": [3000]},
    "extraEnv": [
        {"name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128"},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "tokens", "key": "desk", "optional": True}}},
        {"name": "REGION", "valueFrom": {"configMapKeyRef": {"name": "site", "key": "region"}}},
    ],
    "extraVolumes": [
        {"name": "site", "configMap": {"name": "site"}},
        {"name": "scratch", "emptyDir": {}},
    ],
    "extraVolumeMounts": [
        {"name": "site", "mountPath": "/etc/rtx-site", "readOnly": True},
        {"name": "scratch", "mountPath": "/var/scratch", "subPath": "engine"},
    ],
    "trustedCA": {"name": "company-ca", "key": "bundle.pem"},
    "imagePullSecrets": [{"name": "registry"}],
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/rtx"}},
    "config": {"logLevel": "DEBUG"},
    "scaling": {
        "minReplicas": 4,
        "targetOrdersPerSecondPerPod": 250,
        "behavior": {
            "scaleUp": {"stabilizationWindowSeconds": 0},
            "scaleDown": {
                "selectPolicy": "Min",
                "policies": [
                    {"type": "Pods", "value": 1, "periodSeconds": 120},
                    {"type": "Percent", "value": 20, "periodSeconds": 60},
                ],
            },
        },
    },
    "rollout": {"migrationTimeout": "3h", "migrationResources": {"limits": {"memory": "1Gi"}}},
    "database": {
        "storage": "80Gi",
        "storageClassName": "fast",
        "image": "registry.example.com/postgres:17",
        "resources": {"requests": {"memory": "8Gi"}, "limits": {"memory": "8Gi"}},
        "scheduling": {
            "nodeSelector": {"pool": "data"},
            "tolerations": [{"key": "data", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
            "topologySpreadConstraints": [{"topologyKey": "example.com/rack"}],
            "priorityClassName": "data",
        },
        "podLabels": {"team": "data"},
        "podAnnotations": {"backup.velero.io/backup-volumes": "data"},
        "podSecurityContext": {},
        "serviceAccount": {"name": "postgres"},
    },
    "cache": {
        "mode": "Sentinel",
        "storage": "20Gi",
        "storageClassName": "fast",
        "scheduling": {"priorityClassName": "data"},
        "podSecurityContext": {"fsGroup": 4000},
        "serviceAccount": {"name": "redis"},
    },
    "backup": {
        "schedule": "*/30 * * * *",
        "fullSchedule": "15 1 * * 1-5",
        "retentionDays": 60,
        "walRetentionDays": 14,
        "timeout": "2h",
        "storage": "500Gi",
        "storageClassName": "slow",
        "resources": {"limits": {"cpu": 2}},
    },
    "service": {
        "type": "LoadBalancer",
        "annotations": {"service.beta.kubernetes.io/aws-load-balancer-scheme": "internal"},
        "externalTrafficPolicy": "Local",
        "ipFamilyPolicy": "PreferDualStack",
        "ipFamilies": ["IPv4", "IPv6"],
    },
    "networkPolicy": {
        "ingressNamespace": "ingress",
        "monitoringNamespace": "monitoring",
        "extraPeers": [
            {"name": "desk", "podLabels": {"app": "desk"}},
            {"name": "audit", "namespaceLabels": {"team": "audit"}, "ports": ["http", "metrics"]},
        ],
        "ipBlocks": [{"cidr": "203.0.113.0/24", "except": ["203.0.113.7/32"]}, {"cidr": "2001:db8::/32"}],
        "dns": {
            "to": [
                {"ipBlock": {"cidr": "169.254.20.10/32"}},
                {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "openshift-dns"}}},
            ],
            "ports": [53, 5353],
        },
        "egress": [
            {"to": [{"ipBlock": {"cidr": "198.51.100.0/24"}}], "ports": [{"port": 8000, "endPort": 8010}]},
            {
                "to": [
                    {"podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["market-data"]}]}}
                ]
            },
        ],
    },
    "deletionPolicy": "Delete",
}


def build_input(spec: dict[str, Any] = SMALL, **more: Any) -> desired.BuildInput:
    return desired.BuildInput(
        namespace="rtx-trading",
        name="rtx",
        uid="6c7c6d3e-0000-4000-8000-000000000001",
        spec=TradingEngineSpec.model_validate(spec),
        postgres_image="example/postgres:17",
        redis_image="example/redis:8",
        operator_namespace="rtx-system",
        **more,
    )


def servers(given: desired.BuildInput) -> Mapping[Component, DesiredServer]:
    """Database and cache of an engine that is installed now."""
    return desired_servers(given, TradingEngineStatus(), Observation(children={}))


def blue(given: desired.BuildInput) -> desired.Record:
    """The record of the spec's revision in blue, made now."""
    return desired.rendered(given, Colour.BLUE, desired.revision_spec(given))


def everything(given: desired.BuildInput) -> list[desired.Object]:
    record, secrets = blue(given), desired.secrets(given, None, None, SEED)
    return [
        *secrets,
        *backups(given, desired.secret_values(secrets[0])),
        *desired.base_objects(given, database_plan(given, Observation(children={}))),
        *(made for server in servers(given).values() for made in server.kept),
        desired.migration_job(given, record, "up"),
        *desired.colour_children(given, Colour.BLUE, record),
        *desired.traffic_children(given, Colour.BLUE),
    ]


def backups(given: desired.BuildInput, internal: dict[str, str]) -> list[desired.Object]:
    if not backup.backs_up(given):
        return []
    secret = backup.backup_secret(given, None, SEED, NOW)
    shown = {**secret, "data": dict.fromkeys(secret["data"], "")}  # certificates differ with each release of a library
    image = given.spec.database.image or given.postgres_image
    return [shown, *backup.repository_objects(given, internal, image), *backup.cron_jobs(given, image)]


def one(objects: list[desired.Object], kind: str, name: str) -> desired.Object:
    (found,) = (thing for thing in objects if (thing["kind"], thing["metadata"]["name"]) == (kind, name))
    return found


def pods(objects: list[desired.Object]) -> list[desired.Object]:
    specs = [thing.get("spec", {}) for thing in objects]
    specs += [spec["jobTemplate"]["spec"] for spec in specs if "jobTemplate" in spec]
    return [spec["template"]["spec"] for spec in specs if "template" in spec]


ENGINE = ("Deployment", "rtx-engine-blue")
DATABASE = ("StatefulSet", "rtx-postgres")
CACHE = ("StatefulSet", "rtx-redis")
LIVE_SERVICE = ("Service", "rtx-engine")
AUTOSCALER = ("HorizontalPodAutoscaler", "rtx-engine")
ENGINE_POLICY = ("NetworkPolicy", "rtx-engine")
MIGRATION_POLICY = ("NetworkPolicy", "rtx-migrate")


def built(name: tuple[str, str], **spec: Any) -> desired.Object:
    """The object of that kind and name, of the smallest engine with these fields."""
    return one(everything(build_input({**SMALL, **spec})), *name)


def template(name: tuple[str, str], **spec: Any) -> desired.Object:
    found: desired.Object = built(name, **spec)["spec"]["template"]
    return found


def pod(name: tuple[str, str], **spec: Any) -> desired.Object:
    found: desired.Object = template(name, **spec)["spec"]
    return found


def job(**spec: Any) -> desired.Object:
    """The migration Job of the installation."""
    (found,) = (thing for thing in everything(build_input({**SMALL, **spec})) if thing["kind"] == "Job")
    return found


def job_pod(**spec: Any) -> desired.Object:
    found: desired.Object = job(**spec)["spec"]["template"]["spec"]
    return found
