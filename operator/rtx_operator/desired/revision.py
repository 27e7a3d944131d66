"""A revision: all that an engine pod is made from. A change of it is an upgrade and needs new pods; scaling is not."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from rtx_operator.api.names import DATABASE_NAME, HTTP_PORT, METRICS_PORT, POSTGRES_PORT, REDIS_PORT
from rtx_operator.api.sizes import engine_resources
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.render import Object, digest


@dataclass(frozen=True, slots=True)
class RevisionSpec:
    """All values that engine pods are made from, with defaults filled in."""

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

    @property
    def digest(self) -> str:
        """The digest of the image; empty when the spec gives a tag only."""
        return self.image.partition("@")[2]

    @property
    def hash(self) -> str:
        """Identifies the revision. Empty fields are left out, so that a new field changes no old hash."""
        return digest({name: value for name, value in self.record().items() if value})

    @property
    def config_hash(self) -> str:
        """Identifies the environment variables."""
        return digest(self.config)

    def record(self) -> Object:
        """The revision as plain data, the inverse of `recorded`."""
        return asdict(self)

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
    return RevisionSpec(
        version=spec.version,
        image=f"{spec.image.repository}{tag}",
        pull_policy=spec.image.pull_policy.value,
        credentials=inputs.credentials,
        config=_config(inputs),
        resources=resources.model_dump(mode="json", exclude_none=True),
        pull_secrets=inputs.pull_secrets,
        affinity=spec.scheduling.affinity,
        **inputs.placement,
    )


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
