"""The spec of a TradingEngine: what users write. Its rules are the API server's too, by way of the generated CRD."""

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

MOST_REPLICAS = 20  # 20 pods of two colours with two connections each stay under PostgreSQL's 100
Percent = Annotated[int, Field(ge=1, le=100)]
Replicas = Annotated[int, Field(ge=1, le=MOST_REPLICAS)]

_NUMBER = "(0|[1-9][0-9]*)"
_SEMVER = rf"^{_NUMBER}[.]{_NUMBER}[.]{_NUMBER}(-[0-9A-Za-z]+([-.][0-9A-Za-z]+)*)?$"
_DIGEST = r"sha256:[0-9a-f]{64}"
_PATH = r"[a-z0-9]+([._-]+[a-z0-9]+)*"
_REPOSITORY = rf"([A-Za-z0-9.-]+(:[0-9]+)?/)?{_PATH}(/{_PATH})*"


class Image(ApiModel):
    """Where the engine's image comes from. Its tag is spec.version unless a digest pins it."""

    repository: str = Field(
        max_length=255,
        description="Registry and name, without tag or digest.",
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
        description="Pins the image: sha256 and 64 hexadecimal digits. The tag is ignored then.",
        json_schema_extra=rules(matches(f"^{_DIGEST}$", "must be sha256: and 64 hexadecimal digits")),
    )
    pull_policy: PullPolicy = Field(default=PullPolicy.IF_NOT_PRESENT, description="When nodes ask the registry.")


class Broker(ApiModel):
    """The business that the engine runs."""

    name: str = Field(default="RTX Trading", min_length=1, max_length=100, description="Shown to clients.")
    execution_mode: ExecutionMode = Field(
        default=ExecutionMode.B_BOOK,
        description="Who takes the other side of an order: BBook, the house.",
        json_schema_extra=only("BBook", later="ABook is"),
    )
    price_feed: PriceFeed = Field(
        default=PriceFeed.SIMULATED,
        description="Where prices come from: Simulated, computed from symbol and time.",
        json_schema_extra=only("Simulated", later="OANDA is"),
    )


class SecretRef(ApiModel):
    """A Secret in the TradingEngine's namespace."""

    name: ObjectName = Field(description="The Secret's name.")


class Amounts(ApiModel):
    """Amounts of CPU and memory."""

    cpu: Cpu | None = Field(default=None, description="Cores, for example 500m or 2.")
    memory: Bytes | None = Field(default=None, description="Bytes, for example 512Mi or 2Gi.")


class Resources(ApiModel):
    """Resources of one container. What is left out has a default, fitted to what is given."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            *(
                rule(
                    f"!has(self.requests.{one}) || !has(self.limits.{one}) || "
                    f"!isQuantity(string(self.requests.{one})) || !isQuantity(string(self.limits.{one})) || "
                    f"quantity(string(self.requests.{one})).compareTo(quantity(string(self.limits.{one}))) <= 0",
                    f"requests.{one} must not be above limits.{one}",
                    f".requests.{one}",
                )
                for one in ("cpu", "memory")
            )
        )
    )

    requests: Amounts = Field(default=Amounts(), description="What the scheduler sets aside.")
    limits: Amounts = Field(default=Amounts(), description="What the container may use at most.")


class Toleration(ApiModel):
    """A taint of nodes that the pods put up with."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.key) || self.operator == 'Exists'",
                "operator must be Exists when there is no key",
                ".operator",
            ),
            rule("!has(self.value) || self.operator == 'Equal'", "value must be absent with operator Exists", ".value"),
            rule(
                "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
                "tolerationSeconds works only with effect NoExecute",
                ".tolerationSeconds",
            ),
        )
    )

    key: str | None = Field(default=None, min_length=1, max_length=317, description="Its key; all keys when absent.")
    operator: Literal["Exists", "Equal"] = Field(default="Equal", description="How key and value are compared.")
    value: str | None = Field(default=None, max_length=63, description="Its value, for operator Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Its effect; all effects when absent."
    )
    toleration_seconds: int | None = Field(
        default=None, ge=0, description="How long a NoExecute taint is put up with; forever when absent."
    )


class Scheduling(ApiModel):
    """Where the pods of engine, database and cache may run."""

    node_selector: Labels = Field(default={}, description="Labels that a node must have.")
    tolerations: list[Toleration] = Field(default=[], max_length=20, description="Taints that are put up with.")
    affinity: Affinity | None = Field(default=None, description="Affinity of the engine's pods.")


class ServiceAccount(ApiModel):
    """The ServiceAccount that the engine's pods run as. It has no rights on the API server."""

    annotations: Annotations = Field(default={}, description="Annotations, for example a cloud role.")


class EngineConfig(ApiModel):
    """Settings of the engine's process."""

    log_level: LogLevel = Field(default=LogLevel.INFO, description="The least severe message that is written.")


class Scaling(ApiModel):
    """How many pods serve. An edit here is no upgrade."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
                "minReplicas must not be above maxReplicas",
                ".minReplicas",
            )
        )
    )

    min_replicas: Replicas | None = Field(
        default=None, description="Pods at least. By default 3; in Development 1, in Staging 2."
    )
    max_replicas: Replicas | None = Field(
        default=None,
        description="Pods at most; equal to minReplicas switches the autoscaler off. By default 10; in Development 1, "
        "in Staging 2, in Production 20.",
    )
    target_cpu_utilization_percent: Percent = Field(
        default=70, alias="targetCPUUtilizationPercent", description="Scale up above this share of the CPU request."
    )
    target_memory_utilization_percent: Percent = Field(
        default=80, description="Scale up above this share of the memory request."
    )
    target_orders_per_second_per_pod: int = Field(
        default=300,
        ge=1,
        le=100_000,
        description="Scale up above this rate, where the cluster serves the metric rtx_orders_per_second.",
    )


class Volume(ApiModel):
    """What PostgreSQL and Redis have in common: a volume, an image, resources."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.storageClassName) == has(oldSelf.storageClassName) && "
                "(!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",
                "storageClassName cannot change after creation: a volume stays in its storage class",
                ".storageClassName",
            ),
            rule(
                "!isQuantity(string(self.storage)) || "
                "quantity(string(self.storage)).compareTo(quantity(string(oldSelf.storage))) == 0",
                "storage cannot change after creation: volumes do not grow in this release",
                ".storage",
            ),
        )
    )

    storage: Bytes = Field(description="Size of the volume. Fixed at creation.")
    storage_class_name: ObjectName | None = Field(
        default=None, description="Storage class of the volume; the cluster's default when absent. Fixed at creation."
    )
    image: str | None = Field(
        default=None,
        max_length=512,
        description="Image, with tag or digest; the operator's default when absent.",
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
    resources: Resources = Field(default=Resources(), description="Resources of the container.")


class Database(Volume):
    """PostgreSQL, where orders, positions and balances are kept."""

    type: DatabaseType = Field(
        default=DatabaseType.MANAGED,
        description="Managed: the operator runs it in the TradingEngine's namespace. Fixed at creation.",
        json_schema_extra=only("Managed", later="External is"),
    )
    instances: int = Field(
        default=1,
        description="PostgreSQL servers: 1.",
        json_schema_extra=rules(rule("self == 1", "must be 1: standbys are not in this release")),
    )
    storage: Bytes = Field(default="50Gi", description=f"{Volume.model_fields['storage'].description}")


class Cache(Volume):
    """Redis, the bus on which pods tell each other of events. Nothing is lost with it."""

    mode: CacheMode = Field(
        default=CacheMode.SINGLE,
        description="Single: one pod with a volume.",
        json_schema_extra=only("Single", later="Sentinel and Cluster are"),
    )
    storage: Bytes = Field(default="10Gi", description=f"{Volume.model_fields['storage'].description}")


class Peer(ApiModel):
    """Pods that may connect to the engine, besides those that it needs."""

    name: ObjectName = Field(description="A name for this entry.")
    namespace_labels: Labels = Field(default={}, description="Labels of the namespace; its own one when empty.")
    pod_labels: Labels = Field(default={}, description="Labels of the pods; all pods there when empty.")
    ports: list[PeerPort] = Field(
        default=[PeerPort.HTTP],
        min_length=1,
        max_length=2,
        description="Which of the engine's ports: http (7999), metrics (9090).",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class NetworkPolicy(ApiModel):
    """Who may talk to the engine. Everything that is not named here or needed by the engine is refused."""

    ingress_namespace: NamespaceName | None = Field(
        default=None, description="Namespace of the ingress controller, which may reach the engine's port 7999."
    )
    monitoring_namespace: NamespaceName | None = Field(
        default=None, description="Namespace of Prometheus, which may reach the engine's port 9090."
    )
    extra_peers: list[Peer] = Field(
        default=[],
        max_length=20,
        description="More pods that may connect.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )


class TradingEngineSpec(ApiModel):
    """What a TradingEngine should be."""

    version: str = Field(
        max_length=63,
        description="The engine's version; the image's tag. Another one makes an upgrade.",
        json_schema_extra=rules(
            matches(_SEMVER, "must be a semantic version such as 1.4.0 or 1.5.0-rc.1, without v and without +build")
        ),
    )
    image: Image
    environment: Environment | None = Field(
        default=None, description="Default sizes: Development, Staging or Production."
    )
    broker: Broker = Broker()
    credentials_secret_ref: SecretRef | None = Field(
        default=None,
        description="Credentials of the engine. When absent they are generated, and kept as long as the volume is.",
    )
    resources: Resources = Field(default=Resources(), description="Resources of the engine's container.")
    scheduling: Scheduling = Scheduling()
    image_pull_secrets: list[SecretRef] = Field(
        default=[],
        max_length=10,
        description="Secrets for the image registry.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    service_account: ServiceAccount = ServiceAccount()
    config: EngineConfig = EngineConfig()
    scaling: Scaling = Scaling()
    rollout: Rollout = Rollout()
    database: Database = Database()
    cache: Cache = Cache()
    network_policy: NetworkPolicy = NetworkPolicy()
    paused: bool = Field(default=False, description="The operator leaves everything as it is while this is true.")
    deletion_policy: DeletionPolicy = Field(
        default=DeletionPolicy.RETAIN,
        description="What a deletion leaves: Retain keeps data volumes and their credentials, Delete keeps nothing.",
    )
