"""The spec as a whole."""

from pydantic import Field

from rtx_operator.api.enums import DeletionPolicy, Environment
from rtx_operator.api.schema import ApiModel, matches, rules
from rtx_operator.api.spec.cache import Cache
from rtx_operator.api.spec.database import Database
from rtx_operator.api.spec.engine import Broker, EngineConfig
from rtx_operator.api.spec.image import Image
from rtx_operator.api.spec.network import NetworkPolicy
from rtx_operator.api.spec.pods import SecretRef, ServiceAccount
from rtx_operator.api.spec.resources import Resources
from rtx_operator.api.spec.rollout import Rollout
from rtx_operator.api.spec.scaling import Scaling
from rtx_operator.api.spec.scheduling import Scheduling

_NUMBER = "(0|[1-9][0-9]*)"
_SEMVER = rf"^{_NUMBER}[.]{_NUMBER}[.]{_NUMBER}(-[0-9A-Za-z]+([-.][0-9A-Za-z]+)*)?$"


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
