"""A revision: all that an engine pod is made from. A change of it is an upgrade and needs new pods; scaling is not."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self, TypeVar

from rtx_operator.api.names import DATABASE_NAME, HTTP_PORT, METRICS_PORT, POSTGRES_PORT, REDIS_PORT
from rtx_operator.api.sizes import engine_resources
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.pods import NODE, ZONE, plain, scheduling_values, security_context, spread_evenly
from rtx_operator.desired.render import Object, digest

V = TypeVar("V", dict[str, Any], list[Any])
# What pods have when the spec leaves it out. A revision with this value is empty there: it asks for the same pods.
DEFAULT_SECURITY_CONTEXT = security_context(None, {"runAsUser": 1000, "runAsGroup": 1000})
DEFAULT_SPREAD = spread_evenly(ZONE, NODE)


@dataclass(frozen=True, slots=True)
class RevisionSpec:
    """All values that engine pods are made from. A field with a default is empty where the spec leaves it out."""

    version: str
    image: str  # with its tag or digest
    pull_policy: str
    credentials: str  # name of the Secret
    config: Mapping[str, str]  # environment variables, in the ConfigMap
    resources: Mapping[str, Any]
    pull_secrets: list[Object] = field(default_factory=list)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: list[Object] = field(default_factory=list)
    affinity: Object | None = None
    topology_spread: list[Object] = field(default_factory=list)  # empty: DEFAULT_SPREAD
    priority_class: str = ""
    account: str = ""  # name of the ServiceAccount; empty: the one that the operator creates
    pod_labels: Mapping[str, str] = field(default_factory=dict)
    pod_annotations: Mapping[str, str] = field(default_factory=dict)
    security_context: Mapping[str, Any] = field(default_factory=dict)  # empty: DEFAULT_SECURITY_CONTEXT
    env: list[Object] = field(default_factory=list)  # besides the operator's own
    volumes: list[Object] = field(default_factory=list)  # likewise
    volume_mounts: list[Object] = field(default_factory=list)  # likewise
    trusted_ca: Mapping[str, str] = field(default_factory=dict)  # name of the ConfigMap, and key

    @property
    def digest(self) -> str:
        """The digest of the image; empty when the spec gives a tag only."""
        return self.image.partition("@")[2]

    @property
    def hash(self) -> str:
        """Identifies the revision. Empty fields are left out, so that a new field changes no old hash."""
        return digest(self.record())

    @property
    def config_hash(self) -> str:
        """Identifies the environment variables."""
        return digest(self.config)

    def record(self) -> Object:
        """The revision as plain data, the inverse of `recorded`.

        Without empty fields: a ControllerRevision cannot change, so a later operator must write it as this one did.
        """
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def recorded(cls, revision: Object) -> Self:
        """The revision in a ControllerRevision. Fields of a later operator are ignored."""
        known = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in revision["data"]["spec"].items() if name in known})


def revision_spec(inputs: BuildInput) -> RevisionSpec:
    """The revision of the spec."""
    spec = inputs.spec
    tag = f"@{spec.image.digest}" if spec.image.digest else f":{spec.version}"
    resources = engine_resources(spec.environment, spec.resources)
    scheduling = scheduling_values(spec.scheduling)
    context = security_context(spec.pod_security_context, DEFAULT_SECURITY_CONTEXT)
    return RevisionSpec(
        version=spec.version,
        image=f"{spec.image.repository}{tag}",
        pull_policy=spec.image.pull_policy.value,
        credentials=inputs.credentials,
        config=_config(inputs),
        resources=resources.model_dump(mode="json", exclude_none=True),
        pull_secrets=inputs.pull_secrets,
        account=spec.service_account.name or "",
        pod_labels=dict(spec.pod_labels),
        pod_annotations=dict(spec.pod_annotations),
        security_context=_unless(context, DEFAULT_SECURITY_CONTEXT),
        env=[plain(one) for one in spec.extra_env],
        volumes=[plain(one) for one in spec.extra_volumes],
        volume_mounts=[plain(one) for one in spec.extra_volume_mounts],
        trusted_ca=plain(spec.trusted_ca) if spec.trusted_ca else {},
        **{**scheduling, "topology_spread": _unless(scheduling["topology_spread"], DEFAULT_SPREAD)},
    )


def _unless(value: V, default: V) -> V:
    """The value; empty when it is the default."""
    return value if value != default else type(value)()


def _config(inputs: BuildInput) -> dict[str, str]:
    """The environment variables of the engine (docs/architecture.md)."""
    spec = inputs.spec
    return {
        "BROKER_NAME": spec.broker.name,
        "EXECUTION_MODE": spec.broker.execution_mode.value.upper(),
        "PRICE_FEED_LP": spec.broker.price_feed.value.upper(),
        "ENVIRONMENT": (spec.environment or "Production").lower(),
        "DB_HOST": inputs.names.postgres,
        "DB_PORT": str(POSTGRES_PORT),
        "DB_NAME": DATABASE_NAME,
        "REDIS_HOST": inputs.names.redis,
        "REDIS_PORT": str(REDIS_PORT),
        "PEER_SERVICE": inputs.names.peer_service,
        "PORT": str(HTTP_PORT),
        "METRICS_PORT": str(METRICS_PORT),
        "LOG_LEVEL": spec.config.log_level.value,
    }
