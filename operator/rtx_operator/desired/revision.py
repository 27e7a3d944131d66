"""A revision: all that an engine pod is made from. A change of it is an upgrade and needs new pods; scaling is not.

A revision is identified by what its user asks for, not by what an operator makes of that: a release of the operator
with other templates asks for no other revision (ADR 0031). What it was made into stands in its record (record.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rtx_operator.api.names import DATABASE_NAME, HTTP_PORT, METRICS_PORT, POSTGRES_PORT, REDIS_PORT, SENTINEL_PORT
from rtx_operator.api.sizes import engine_resources
from rtx_operator.api.spec import TradingEngineSpec
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.pods import NODE, ZONE, plain, scheduling_values, security_context, spread_evenly
from rtx_operator.desired.render import Object, digest

# What pods have when the spec leaves it out.
DEFAULT_SECURITY_CONTEXT = security_context(None, {"runAsUser": 1000, "runAsGroup": 1000})
DEFAULT_SPREAD = spread_evenly(ZONE, NODE)


# The fields of spec that engine pods are made from; a change of any other makes no upgrade. What operator and settings
# add is not among them: another release of the operator must ask for the same revision. Of service_account, the name.
POD_FIELDS = frozenset({
    "version",
    "image",
    "environment",
    "broker",
    "credentials_secret_ref",
    "resources",
    "scheduling",
    "pod_labels",
    "pod_annotations",
    "pod_security_context",
    "extra_env",
    "extra_volumes",
    "extra_volume_mounts",
    "trusted_ca",
    "image_pull_secrets",
    "service_account",
    "config",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class RevisionSpec:
    """All values that engine pods are made from, by the present release of the operator."""

    inputs: Object  # the fields of spec that shape pods, as the user writes them, without defaults
    refresh: str  # value of the refresh annotation
    version: str
    image: str  # with its tag or digest
    pull_policy: str
    credentials: str  # name of the Secret
    config: Mapping[str, str]  # environment variables, in the ConfigMap
    resources: Mapping[str, Any]
    pull_secrets: list[Object]
    node_selector: Mapping[str, str]
    tolerations: list[Object]
    affinity: Object | None
    topology_spread: list[Object]
    priority_class: str
    account: str  # name of the ServiceAccount
    pod_labels: Mapping[str, str]
    pod_annotations: Mapping[str, str]
    security_context: Mapping[str, Any]
    env: list[Object]  # besides the operator's own
    volumes: list[Object]  # likewise
    volume_mounts: list[Object]  # likewise
    trusted_ca: Mapping[str, str]  # name of the ConfigMap, and key; empty: none

    @property
    def digest(self) -> str:
        """The digest of the image; empty when the spec gives a tag only."""
        return self.image.partition("@")[2]

    @property
    def hash(self) -> str:
        """Identifies the revision, in every release of the operator."""
        return digest({"spec": self.inputs, **({"refresh": self.refresh} if self.refresh else {})})

    @property
    def config_hash(self) -> str:
        """Identifies the environment variables."""
        return digest(self.config)


def pod_inputs(spec: TradingEngineSpec) -> Object:
    """What the spec says about engine pods, without what it leaves out. A value that is its field's default counts as
    left out, since the API server writes defaults into spec, also those of fields that are new.
    """
    account = spec.service_account.model_copy(update={"annotations": {}})
    pods = spec.model_copy(update={"service_account": account})
    given: Object = pods.model_dump(mode="json", by_alias=True, include=set(POD_FIELDS), exclude_defaults=True)
    return given


def revision_spec(inputs: BuildInput, refresh: str = "") -> RevisionSpec:
    """The revision of the spec, and of this value of the refresh annotation."""
    spec = inputs.spec
    tag = f"@{spec.image.digest}" if spec.image.digest else f":{spec.version}"
    resources = engine_resources(spec.environment, spec.resources)
    scheduling = scheduling_values(spec.scheduling)
    context = security_context(spec.pod_security_context, DEFAULT_SECURITY_CONTEXT)
    return RevisionSpec(
        inputs=pod_inputs(spec),
        refresh=refresh,
        version=spec.version,
        image=f"{spec.image.repository}{tag}",
        pull_policy=spec.image.pull_policy.value,
        credentials=inputs.credentials,
        config=_config(inputs),
        resources=resources.model_dump(mode="json", exclude_none=True),
        pull_secrets=inputs.pull_secrets,
        account=spec.service_account.name or inputs.names.engine_account,
        pod_labels=dict(spec.pod_labels),
        pod_annotations=dict(spec.pod_annotations),
        security_context=context,
        env=[plain(one) for one in spec.extra_env],
        volumes=[plain(one) for one in spec.extra_volumes],
        volume_mounts=[plain(one) for one in spec.extra_volume_mounts],
        trusted_ca=plain(spec.trusted_ca) if spec.trusted_ca else {},
        **{**scheduling, "topology_spread": scheduling["topology_spread"] or DEFAULT_SPREAD},
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
        "DB_CONNECTIONS": str(spec.config.database_connections),
        "REDIS_HOST": inputs.names.redis,
        "REDIS_PORT": str(REDIS_PORT),
        # In either mode of the cache, so that a change of it needs no other engine pods (ADR 0145).
        "REDIS_SENTINELS": ",".join(f"{member}:{SENTINEL_PORT}" for member in inputs.names.redis_members),
        "PEER_SERVICE": inputs.names.peer_service,
        "PORT": str(HTTP_PORT),
        "METRICS_PORT": str(METRICS_PORT),
        "LOG_LEVEL": spec.config.log_level.value,
    }
