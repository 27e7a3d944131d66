"""The spec of a TradingEngine: what users write. The generated CRD makes the API server check the same rules.

The generator appends bounds and defaults to the descriptions (api/crd.py), because `kubectl explain` shows neither.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from rtx_operator.api.enums import (
    CacheMode,
    DatabaseType,
    DeletionPolicy,
    Environment,
    ExecutionMode,
    LogLevel,
    PeerPort,
    PriceFeed,
    PullPolicy,
)
from rtx_operator.api.rollout import Rollout
from rtx_operator.api.schema import (
    Affinity,
    Annotations,
    ApiModel,
    Bytes,
    Cpu,
    Labels,
    NamespaceName,
    ObjectName,
    matches,
    only,
    rule,
    rules,
)

MAX_REPLICAS = 20  # 20 pods of two colours with two connections each stay under PostgreSQL's 100
Percent = Annotated[int, Field(ge=1, le=100)]
Replicas = Annotated[int, Field(ge=1, le=MAX_REPLICAS)]

_NUMBER = "(0|[1-9][0-9]*)"
_SEMVER = rf"^{_NUMBER}[.]{_NUMBER}[.]{_NUMBER}(-[0-9A-Za-z]+([-.][0-9A-Za-z]+)*)?$"
_DIGEST = r"sha256:[0-9a-f]{64}"
_PATH = r"[a-z0-9]+([._-]+[a-z0-9]+)*"
_REPOSITORY = rf"([A-Za-z0-9.-]+(:[0-9]+)?/)?{_PATH}(/{_PATH})*"


class Image(ApiModel):
    """The engine's image. Its tag is spec.version unless a digest is set. An edit makes an upgrade."""

    repository: str = Field(
        max_length=255,
        description="Registry and name of the image, without tag or digest.",
        json_schema_extra=rules(
            rule(
                "!self.contains('@') && !self.substring(self.lastIndexOf('/') + 1).contains(':')",
                "must have no tag or digest: the tag is spec.version, a digest goes into spec.image.digest",
            ),
            matches(
                f"^{_REPOSITORY}([:@][^/]*)?$",
                "must be an image's name, such as registry.example.com/rtx-engine, in lower case and without https://",
            ),
        ),
    )
    digest: str | None = Field(
        default=None,
        max_length=71,
        description="Pins the image: sha256: and 64 hexadecimal digits. Pods then run exactly this image, whatever the "
        "tag points to; spec.version stays the name of the version. Without it nodes pull the tag.",
        json_schema_extra=rules(matches(f"^{_DIGEST}$", "must be sha256: and 64 hexadecimal digits")),
    )
    pull_policy: PullPolicy = Field(
        default=PullPolicy.IF_NOT_PRESENT,
        description="When a node asks the registry for the image: Always, IfNotPresent (it does not have it yet) or "
        "Never.",
    )


class Broker(ApiModel):
    """The brokerage that the engine runs. An edit makes an upgrade."""

    name: str = Field(
        default="RTX Trading", min_length=1, max_length=100, description="Name of the broker, as clients see it."
    )
    execution_mode: ExecutionMode = Field(
        default=ExecutionMode.B_BOOK,
        description="Who takes the other side of an order. BBook: the house.",
        json_schema_extra=only("BBook", later="ABook is"),
    )
    price_feed: PriceFeed = Field(
        default=PriceFeed.SIMULATED,
        description="Where prices come from. Simulated: computed from symbol and time.",
        json_schema_extra=only("Simulated", later="OANDA is"),
    )


class SecretRef(ApiModel):
    """A Secret in the TradingEngine's namespace."""

    name: ObjectName = Field(description="Name of the Secret.")


class Amounts(ApiModel):
    """Amounts of CPU and memory."""

    cpu: Cpu | None = Field(default=None, description="Cores, for example 500m or 2. Unset: the default size.")
    memory: Bytes | None = Field(default=None, description="Bytes, for example 512Mi or 2Gi. Unset: the default size.")


class Resources(ApiModel):
    """CPU and memory of one container. An unset value has a default, adjusted so that no request exceeds its limit."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            *(
                rule(
                    f"!has(self.requests.{one}) || !has(self.limits.{one}) || "
                    f"!isQuantity(string(self.requests.{one})) || !isQuantity(string(self.limits.{one})) || "
                    f"quantity(string(self.requests.{one})).compareTo(quantity(string(self.limits.{one}))) <= 0",
                    f"requests.{one} must not be above limits.{one}: lower the request or raise the limit",
                    f".requests.{one}",
                )
                for one in ("cpu", "memory")
            )
        )
    )

    requests: Amounts = Field(default=Amounts(), description="What the scheduler reserves on a node for each pod.")
    limits: Amounts = Field(
        default=Amounts(),
        description="Most that the container may use. Above the CPU limit it is throttled, above the memory limit "
        "killed.",
    )


class Toleration(ApiModel):
    """A taint of nodes that the pods tolerate."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.key) || self.operator == 'Exists'",
                "operator must be Exists when there is no key: set operator: Exists, or a key",
                ".operator",
            ),
            rule(
                "!has(self.value) || self.operator == 'Equal'",
                "value must be absent with operator Exists: remove it, or use operator Equal",
                ".value",
            ),
            rule(
                "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
                "tolerationSeconds works only with effect NoExecute: remove it, or set that effect",
                ".tolerationSeconds",
            ),
        )
    )

    key: str | None = Field(
        default=None, min_length=1, max_length=317, description="Key of the taint. Unset: every key."
    )
    operator: Literal["Exists", "Equal"] = Field(
        default="Equal", description="Exists tolerates any value of the key, Equal only the given one."
    )
    value: str | None = Field(
        default=None, max_length=63, description="Value of the taint, for operator Equal. Unset: an empty value."
    )
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Effect of the taint. Unset: every effect."
    )
    toleration_seconds: int | None = Field(
        default=None,
        ge=0,
        description="Seconds that pods stay on a node with a NoExecute taint; then they are evicted. Unset: for ever.",
    )


class Scheduling(ApiModel):
    """Nodes for the pods of engine, database and cache. An edit makes an upgrade, and restarts database and cache."""

    node_selector: Labels = Field(default={}, description="Labels that a node must have. Unset: any node.")
    tolerations: list[Toleration] = Field(
        default=[], max_length=20, description="Taints that the pods tolerate. Unset: none."
    )
    affinity: Affinity | None = Field(
        default=None, description="Affinity of the engine's pods; database and cache ignore it. Unset: none."
    )


class ServiceAccount(ApiModel):
    """The ServiceAccount of the engine's pods. It has no rights on the API server, and its token is not mounted."""

    annotations: Annotations = Field(
        default={}, description="Annotations of the ServiceAccount, for example the cloud role of the pods."
    )


class EngineConfig(ApiModel):
    """Settings of the engine's process. An edit makes an upgrade."""

    log_level: LogLevel = Field(default=LogLevel.INFO, description="Lowest severity that the engine logs.")


class Scaling(ApiModel):
    """Number of engine pods, and when the autoscaler changes it. An edit takes effect at once and is no upgrade."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
                "minReplicas must not be above maxReplicas: lower minReplicas or raise maxReplicas",
                ".minReplicas",
            )
        )
    )

    min_replicas: Replicas | None = Field(
        default=None,
        description="Lowest number of pods. Unset: 3, in Development 1, in Staging 2, but never above maxReplicas.",
    )
    max_replicas: Replicas | None = Field(
        default=None,
        description="Highest number of pods; the same number as minReplicas switches the autoscaler off. Unset: 10, in "
        "Development 1, in Staging 2, in Production 20, but never below minReplicas.",
    )
    target_cpu_utilization_percent: Percent = Field(
        default=70,
        alias="targetCPUUtilizationPercent",
        description="Average CPU use, in percent of the request, that the autoscaler aims at; above it, it adds pods.",
    )
    target_memory_utilization_percent: Percent = Field(
        default=80,
        description="Average memory use, in percent of the request, that the autoscaler aims at; above it, it adds "
        "pods.",
    )
    target_orders_per_second_per_pod: int = Field(
        default=300,
        ge=1,
        le=100_000,
        description="Orders a second and pod that the autoscaler aims at; above it, it adds pods. Ignored where the "
        "cluster does not serve the metric rtx_orders_per_second.",
    )


class Volume(ApiModel):
    """What PostgreSQL and Redis have in common: a volume, an image, resources."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.storageClassName) == has(oldSelf.storageClassName) && "
                "(!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",
                "storageClassName cannot change after creation: set it back; a volume stays in its storage class",
                ".storageClassName",
            ),
            rule(
                "!isQuantity(string(self.storage)) || "
                "quantity(string(self.storage)).compareTo(quantity(string(oldSelf.storage))) == 0",
                "storage cannot change after creation: set it back; volumes do not grow in this release",
                ".storage",
            ),
        )
    )

    storage: Bytes = Field(description="Size of the volume in bytes, for example 50Gi. Fixed at creation.")
    storage_class_name: ObjectName | None = Field(
        default=None, description="Storage class of the volume. Unset: the cluster's default class. Fixed at creation."
    )
    image: str | None = Field(
        default=None,
        max_length=512,
        description="Image with tag or digest. Unset: the image that the operator was installed with. An edit "
        "restarts it.",
        json_schema_extra=rules(
            matches(
                f"^{_REPOSITORY}(:[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(@{_DIGEST})?$",
                "must be an image, such as registry.example.com/rtx-postgres:17",
            ),
            rule(
                "self.contains('@') || self.substring(self.lastIndexOf('/') + 1).contains(':')",
                "must have a tag or a digest, so that a restarted pod runs what it ran before",
            ),
        ),
    )
    resources: Resources = Field(
        default=Resources(), description="CPU and memory of the container. An edit restarts it."
    )


class Database(Volume):
    """PostgreSQL, which stores orders, positions and balances."""

    type: DatabaseType = Field(
        default=DatabaseType.MANAGED,
        description="Who runs PostgreSQL. Managed: the operator, in the TradingEngine's namespace.",
        json_schema_extra=only("Managed", later="External is"),
    )
    instances: int = Field(
        default=1,
        description="Number of PostgreSQL servers.",
        json_schema_extra=rules(rule("self == 1", "must be 1: standbys are not in this release")),
    )
    storage: Bytes = Field(default="50Gi", description=f"{Volume.model_fields['storage'].description}")


class Cache(Volume):
    """Redis, which carries account events from pod to pod. PostgreSQL has them all; without Redis they arrive later."""

    mode: CacheMode = Field(
        default=CacheMode.SINGLE,
        description="How Redis runs. Single: one pod with a volume.",
        json_schema_extra=only("Single", later="Sentinel and Cluster are"),
    )
    storage: Bytes = Field(default="10Gi", description=f"{Volume.model_fields['storage'].description}")


class Peer(ApiModel):
    """Pods that may connect to the engine, besides those that the engine itself needs."""

    name: ObjectName = Field(description="Name of this entry, unique in the list.")
    namespace_labels: Labels = Field(default={}, description="Labels of the pods' namespace. Unset: the engine's own.")
    pod_labels: Labels = Field(default={}, description="Labels of the pods. Unset: every pod there.")
    ports: list[PeerPort] = Field(
        default=[PeerPort.HTTP],
        min_length=1,
        max_length=2,
        description="Ports of the engine that they may reach: http (7999), metrics (9090).",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class NetworkPolicy(ApiModel):
    """Who may connect to the engine. Its own parts and the operator always may; everybody else is refused."""

    ingress_namespace: NamespaceName | None = Field(
        default=None,
        description="Namespace of the ingress controller; its pods may reach the engine's port 7999. Unset: none.",
    )
    monitoring_namespace: NamespaceName | None = Field(
        default=None, description="Namespace of Prometheus; its pods may reach the engine's port 9090. Unset: none."
    )
    extra_peers: list[Peer] = Field(
        default=[],
        max_length=20,
        description="Other pods that may connect. Unset: none.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )


class TradingEngineSpec(ApiModel):
    """The desired state of a TradingEngine."""

    version: str = Field(
        max_length=63,
        description="Version of the engine, and tag of its image. A change makes an upgrade, to a lower version too.",
        json_schema_extra=rules(
            matches(_SEMVER, "must be a semantic version such as 1.4.0 or 1.5.0-rc.1, without v and without +build")
        ),
    )
    image: Image
    environment: Environment | None = Field(
        default=None,
        description="Selects the default sizes (docs/reference.md), and is the engine's ENVIRONMENT. Unset: default "
        "sizes of "
        "their own, and ENVIRONMENT=production. An edit makes an upgrade.",
    )
    broker: Broker = Broker()
    credentials_secret_ref: SecretRef | None = Field(
        default=None,
        description="Secret with DB_PASSWORD, REDIS_PASSWORD, JWT_SECRET and ADMIN_PASSWORD_HASH. Unset: the operator "
        "generates the Secret NAME-credentials once and keeps its values. An edit makes an upgrade.",
    )
    resources: Resources = Field(
        default=Resources(), description="CPU and memory of the engine's container. An edit makes an upgrade."
    )
    scheduling: Scheduling = Scheduling()
    image_pull_secrets: list[SecretRef] = Field(
        default=[],
        max_length=10,
        description="Secrets for the image registry, for all pods. Unset: none. An edit makes an upgrade.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    service_account: ServiceAccount = ServiceAccount()
    config: EngineConfig = EngineConfig()
    scaling: Scaling = Scaling()
    rollout: Rollout = Rollout()
    database: Database = Database()
    cache: Cache = Cache()
    network_policy: NetworkPolicy = NetworkPolicy()
    paused: bool = Field(
        default=False,
        description="While true, the operator changes nothing of this engine and goes on writing its status.",
    )
    deletion_policy: DeletionPolicy = Field(
        default=DeletionPolicy.RETAIN,
        description="What stays when the TradingEngine is deleted. Retain: data volumes and the credentials that "
        "open them. "
        "Delete: nothing.",
    )
