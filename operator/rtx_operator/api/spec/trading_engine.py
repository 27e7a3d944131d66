"""The spec as a whole."""

from pydantic import ConfigDict, Field

from rtx_operator.api.enums import DeletionPolicy, Environment
from rtx_operator.api.schema import ApiModel, matches, rule, rules
from rtx_operator.api.spec.backup import Backup
from rtx_operator.api.spec.cache import Cache
from rtx_operator.api.spec.container import EnvVar, TrustedCA, Volume, VolumeMount
from rtx_operator.api.spec.database import Database
from rtx_operator.api.spec.engine import Broker, EngineConfig
from rtx_operator.api.spec.image import Image
from rtx_operator.api.spec.network import NetworkPolicy
from rtx_operator.api.spec.pods import PodAnnotations, PodLabels, PodSecurityContext, SecretRef, ServiceAccount
from rtx_operator.api.spec.resources import Resources
from rtx_operator.api.spec.rollout import Rollout
from rtx_operator.api.spec.scaling import Scaling
from rtx_operator.api.spec.scheduling import Scheduling
from rtx_operator.api.spec.service import LiveService

# For the engine pods of both colours. Each opens one more, for the fence: 40 at most, and 128 of the role's 130
# (database/roles.sql). PostgreSQL's other 20 are for its superusers, the operator and migrations (ADR 0076, 0108).
DATABASE_CONNECTIONS = 88
_PODS_BY_DEFAULT = "(has(self.environment) && self.environment == 'Production' ? 20 : 10)"  # at most (api/sizes.py)
_MAX_REPLICAS = f"(has(self.scaling.maxReplicas) ? self.scaling.maxReplicas : {_PODS_BY_DEFAULT})"
_MIN_REPLICAS = "(has(self.scaling.minReplicas) ? self.scaling.minReplicas : 1)"
_CONNECTIONS_FIT = rule(
    " && ".join(
        f"2 * self.config.databaseConnections * {pods} <= {DATABASE_CONNECTIONS}"
        for pods in (_MAX_REPLICAS, _MIN_REPLICAS)
    ),
    "config.databaseConnections must leave the database connections for the pods of both colours: write 2, or set "
    "scaling.maxReplicas to at most 14 for 3 of them, and to at most 11 for 4",
    ".config.databaseConnections",
)

_NUMBER = "(0|[1-9][0-9]*)"
_SEMVER = rf"^{_NUMBER}[.]{_NUMBER}[.]{_NUMBER}(-[0-9A-Za-z]+((-+|[.])[0-9A-Za-z]+)*)?$"


class TradingEngineSpec(ApiModel):
    """The desired state of a TradingEngine."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.extraVolumeMounts.all(mount, self.extraVolumes.exists(volume, volume.name == mount.name))",
                "extraVolumeMounts must name volumes of extraVolumes: correct the name, or add the volume",
                ".extraVolumeMounts",
            ),
            _CONNECTIONS_FIT,
        )
    )

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
        description="Secret with DB_PASSWORD, REDIS_PASSWORD, JWT_SECRET and ADMIN_PASSWORD_HASH, and if wanted "
        "JWT_SECRET_STANDBY, a second key whose tokens are valid. Unset: the operator generates the Secret "
        "NAME-credentials once and keeps its values. An edit makes an upgrade.",
    )
    resources: Resources = Field(
        default=Resources(), description="CPU and memory of the engine's container. An edit makes an upgrade."
    )
    scheduling: Scheduling = Field(
        default=Scheduling(),
        description="Nodes for the pods of engine and migration Jobs; database and cache have their own. An edit makes "
        "an upgrade.",
    )
    pod_labels: PodLabels = Field(
        default={}, description="More labels of engine and migration pods. Unset: none. An edit makes an upgrade."
    )
    pod_annotations: PodAnnotations = Field(
        default={}, description="More annotations of engine and migration pods. Unset: none. An edit makes an upgrade."
    )
    pod_security_context: PodSecurityContext | None = Field(
        default=None,
        description="User and groups of engine and migration pods. Unset: user and group 1000. Set: exactly the fields "
        "in it; the platform chooses the others, so that {} fits OpenShift. An edit makes an upgrade.",
    )
    extra_env: list[EnvVar] = Field(
        default=[],
        max_length=64,
        description="More environment variables of the engine's container. Unset: none. An edit makes an upgrade.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    extra_volumes: list[Volume] = Field(
        default=[],
        max_length=16,
        description="More volumes of engine pods. Unset: none. An edit makes an upgrade.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    extra_volume_mounts: list[VolumeMount] = Field(
        default=[],
        max_length=16,
        description="Where the engine's container has these volumes. Unset: nowhere. An edit makes an upgrade.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["mountPath"]},
    )
    trusted_ca: TrustedCA | None = Field(
        default=None,
        alias="trustedCA",
        description="ConfigMap with the certificates of all authorities that the engine trusts, in PEM, named by "
        "SSL_CERT_FILE. It replaces the image's own bundle. Unset: that bundle. An edit makes an upgrade.",
    )
    image_pull_secrets: list[SecretRef] = Field(
        default=[],
        max_length=10,
        description="Secrets for the image registry, for all pods. Unset: none. An edit makes an upgrade. Database "
        "and cache take it with their next maintenance, which begins once their image cannot be pulled.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    service_account: ServiceAccount = ServiceAccount()
    config: EngineConfig = EngineConfig()
    scaling: Scaling = Scaling()
    rollout: Rollout = Rollout()
    database: Database = Database()
    cache: Cache = Cache()
    backup: Backup = Backup()
    service: LiveService = LiveService()
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
