"""Names, labels and keys of a TradingEngine's objects; other programs rely on them (docs/architecture.md)."""

from dataclasses import dataclass
from enum import StrEnum

from rtx_operator.api.enums import Colour, Component

GROUP = "rtx-trading.com"
VERSION = "v1alpha1"
KIND = "TradingEngine"
PLURAL = "tradingengines"

OPERATOR = "rtx-operator"  # field manager, managed-by label, the operator's own app.kubernetes.io/name
PART_OF = "trading-engine"

HTTP_PORT = 7999
METRICS_PORT = 9090
SERVICE_PORT = 80
POSTGRES_PORT = 5432
PATRONI_PORT = 8008
REDIS_PORT = 6379
PGBACKREST_PORT = 8432
SENTINEL_PORT = 26379
CACHE_MEMBERS = 3  # with Sentinels, which need a majority

DATABASE_NAME = "trading_engine"
MAX_BACKUP_NAME_LENGTH = 63  # of a TradingEngineBackup, whose name is a label of its Job
MAX_RESTORE_NAME_LENGTH = 63  # of a TradingEngineRestore, whose name is a label of its Jobs
MAX_NAME_LENGTH = 40  # of a TradingEngine, so that child names with Kubernetes' suffixes stay within 63 characters


class Label(StrEnum):
    """Label keys. Helm and Argo CD select and prune by `app.kubernetes.io/instance`, so no object has it (ADR 0042)."""

    APP = "app.kubernetes.io/name"
    COMPONENT = "app.kubernetes.io/component"
    PART_OF = "app.kubernetes.io/part-of"
    MANAGED_BY = "app.kubernetes.io/managed-by"
    APP_VERSION = "app.kubernetes.io/version"
    ENGINE = "rtx-trading.com/engine"  # on every child: the name of its TradingEngine
    COLOUR = "rtx-trading.com/colour"
    REVISION = "rtx-trading.com/revision"  # on a colour's Deployment and its pods: the hash of their revision
    BACKUP = "rtx-trading.com/backup"  # on the Job of a backup that was asked for: the name of its TradingEngineBackup
    RESTORE = "rtx-trading.com/restore"  # on the Jobs of a restore: the name of its TradingEngineRestore
    CUTOVER = "rtx-trading.com/cutover"  # on a migration Job: the id of its cutover
    DATABASE_CLUSTER = "rtx-trading.com/database-cluster"  # on the pods and ConfigMaps that are Patroni's: its scope
    ROLE = "rtx-trading.com/role"  # on a database pod, by Patroni: a MemberRole; absent: it does not run
    OPERATOR = "rtx-trading.com/operator"  # on a TradingEngine: the OPERATOR_CLASS that serves it; absent: the default


RETRY = f"{GROUP}/retry"  # annotation: a new value makes the operator retry
DIGEST = f"{GROUP}/digest"  # annotation of a revision's record: the digest to which its image's tag was resolved
REFRESH = f"{GROUP}/refresh"  # annotation: a new value replaces pods by those of the present templates
# Annotations of what outlives its TradingEngine: Argo CD neither prunes nor deletes it, Helm leaves it.
KEPT = {"argocd.argoproj.io/sync-options": "Prune=false,Delete=false", "helm.sh/resource-policy": "keep"}


class CredentialKey(StrEnum):
    """Keys of the engine's credentials."""

    DB_USER = "DB_USER"
    DB_PASSWORD = "DB_PASSWORD"  # noqa: S105 - the name of a key
    REDIS_PASSWORD = "REDIS_PASSWORD"  # noqa: S105 - the name of a key
    JWT_SECRET = "JWT_SECRET"  # noqa: S105 - the name of a key
    JWT_SECRET_STANDBY = "JWT_SECRET_STANDBY"  # noqa: S105 - likewise; valid too, and signs nothing until it is swapped
    ADMIN_PASSWORD_HASH = "ADMIN_PASSWORD_HASH"  # noqa: S105 - the name of a key; an argon2id PHC string
    OANDA_API_KEY = "OANDA_API_KEY"
    OANDA_ACCOUNT_ID = "OANDA_ACCOUNT_ID"


REQUIRED_CREDENTIALS = (
    CredentialKey.DB_PASSWORD,
    CredentialKey.REDIS_PASSWORD,
    CredentialKey.JWT_SECRET,
    CredentialKey.ADMIN_PASSWORD_HASH,
)
ADMIN_PASSWORD = "ADMIN_PASSWORD"  # noqa: S105 - the name of a key that only a generated Secret has


TRUSTED_CA_FOLDER = "/etc/rtx-trusted-ca"
TRUSTED_CA_FILE = f"{TRUSTED_CA_FOLDER}/ca-bundle.crt"
ENGINE_FOLDERS = ("/tmp", "/app", TRUSTED_CA_FOLDER)  # noqa: S108 - where a mount would break the engine's container
TRUSTED_CA_VOLUME = "trusted-ca"
ENGINE_VOLUMES = ("tmp", TRUSTED_CA_VOLUME)  # of engine pods, besides spec.extraVolumes
# All that the operator sets in the engine's container: a test compares.
ENGINE_VARIABLES = (
    "ADMIN_PASSWORD_HASH",
    "BROKER_NAME",
    "COLOUR",
    "DATABASE_OWNER",
    "DB_CONNECTIONS",
    "DB_HOST",
    "DB_NAME",
    "DB_PASSWORD",
    "DB_PORT",
    "DB_USER",
    "ENVIRONMENT",
    "EXECUTION_MODE",
    "JWT_SECRET",
    "JWT_SECRET_STANDBY",
    "LOG_LEVEL",
    "METRICS_PORT",
    "OANDA_ACCOUNT_ID",
    "OANDA_API_KEY",
    "PEER_SECRET",
    "PEER_SERVICE",
    "POD_NAME",
    "PORT",
    "PRICE_FEED_LP",
    "REDIS_HOST",
    "REDIS_PASSWORD",
    "REDIS_PORT",
    "REDIS_SENTINELS",
    "REVISION",
    "SSL_CERT_FILE",
)


MAX_DATABASE_INSTANCES = 3


class InternalKey(StrEnum):
    """Keys of the internal Secret, which only the operator and its components use."""

    DB_SUPERUSER_PASSWORD = "DB_SUPERUSER_PASSWORD"  # noqa: S105 - the name of a key
    DB_OPERATOR_PASSWORD = "DB_OPERATOR_PASSWORD"  # noqa: S105 - the name of a key
    DB_MIGRATOR_PASSWORD = "DB_MIGRATOR_PASSWORD"  # noqa: S105 - the name of a key
    PEER_SECRET = "PEER_SECRET"  # noqa: S105 - the name of a key
    DB_REPLICATION_PASSWORD = "DB_REPLICATION_PASSWORD"  # noqa: S105 - the name of a key
    PATRONI_RESTAPI_PASSWORD = "PATRONI_RESTAPI_PASSWORD"  # noqa: S105 - the name of a key
    BACKUP_PASSPHRASE = "BACKUP_PASSPHRASE"  # noqa: S105 - the name of a key
    BACKUP_INCARNATION = "BACKUP_INCARNATION"  # the folder of this database in the repository; no secret


class StoreKey(StrEnum):
    """Keys of the user's Secret for a bucket with backups."""

    AWS_ACCESS_KEY_ID = "AWS_ACCESS_KEY_ID"
    AWS_SECRET_ACCESS_KEY = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - the name of a key
    BACKUP_PASSPHRASE = "BACKUP_PASSPHRASE"  # noqa: S105 - the name of a key


class DatabaseRole(StrEnum):
    """PostgreSQL roles."""

    OPERATOR = "rtx_operator"  # owns the fence's schema
    MIGRATOR = "rtx_migrator"  # owns the engine's tables
    ENGINE = "rtx_engine"  # reads and writes rows


@dataclass(frozen=True, slots=True)
class Names:
    """The names of the objects of one TradingEngine."""

    engine: str

    @property
    def live_service(self) -> str:
        return f"{self.engine}-engine"

    def colour(self, colour: Colour) -> str:
        """Name of the colour's Deployment and of its own Service."""
        return f"{self.engine}-engine-{colour}"

    @property
    def peer_service(self) -> str:
        """Name of a colour's own Service in the engine's configuration, with the placeholder `{colour}`."""
        return f"{self.engine}-engine-{{colour}}"

    def config(self, digest: str) -> str:
        """Name of the immutable ConfigMap whose content has this digest."""
        return f"{self.engine}-engine-{digest}"

    def record(self, colour: Colour, revision: str) -> str:
        """Name of the ControllerRevision that records a revision in a colour."""
        return f"{self.colour(colour)}-{revision}"

    def migration(self, digest: str) -> str:
        """Name of a migration Job; `digest` stands for its revision, direction and cutover."""
        return f"{self.engine}-migrate-{digest}"

    @property
    def engine_account(self) -> str:
        return f"{self.engine}-engine"

    @property
    def autoscaler(self) -> str:
        return f"{self.engine}-engine"

    def disruption_budget(self, colour: Colour) -> str:
        return f"{self.engine}-engine-{colour}"

    @property
    def postgres(self) -> str:
        return f"{self.engine}-postgres"

    @property
    def postgres_headless(self) -> str:
        return f"{self.engine}-postgres-headless"

    @property
    def postgres_read_only(self) -> str:
        """Name of the Service of the standbys; of the only server where there is one."""
        return f"{self.engine}-postgres-ro"

    @property
    def database_account(self) -> str:
        """Name of the ServiceAccount of database pods, of its Role and of their RoleBinding."""
        return self.postgres

    @property
    def database_disruption_budget(self) -> str:
        return self.postgres

    @property
    def database_configuration(self) -> str:
        """Name of the ConfigMap whose annotation `config` is Patroni's dynamic configuration: it chooses the name."""
        return f"{self.postgres}-config"

    @property
    def database_leader(self) -> str:
        """Name of the ConfigMap in which the primary renews its lock: Patroni chooses the name."""
        return f"{self.postgres}-leader"

    @property
    def database_quorum(self) -> str:
        """Name of the ConfigMap that says which standbys may be promoted: Patroni chooses the name."""
        return f"{self.postgres}-sync"

    @property
    def database_switchover(self) -> str:
        """Name of the ConfigMap that asks for a switchover: Patroni chooses the name."""
        return f"{self.postgres}-failover"

    @property
    def redis(self) -> str:
        return f"{self.engine}-redis"

    @property
    def redis_headless(self) -> str:
        return f"{self.engine}-redis-headless"

    @property
    def redis_members(self) -> tuple[str, ...]:
        """Host names of the cache's pods, if it has Sentinels."""
        return tuple(f"{self.redis}-{ordinal}.{self.redis_headless}" for ordinal in range(CACHE_MEMBERS))

    @property
    def backup(self) -> str:
        """Name of what backups need: ConfigMap, Secret with certificates, and the Service and pod of the repository."""
        return f"{self.engine}-backup"

    @property
    def repository_claim(self) -> str:
        """Name of the PersistentVolumeClaim with the backups: StatefulSets name it by its template and pod."""
        return f"data-{self.backup}-0"

    @property
    def full_backup(self) -> str:
        """Name of the CronJob of full backups; Kubernetes takes 52 characters, as its Jobs have longer ones."""
        return f"{self.engine}-backup-full"

    @property
    def incremental_backup(self) -> str:
        return f"{self.engine}-backup-incr"

    def backup_job(self, digest: str) -> str:
        """Name of the Job of a backup that was asked for; `digest` stands for its TradingEngineBackup."""
        return f"{self.engine}-backup-{digest}"

    def restore_job(self, step: str, restore: str, ordinal: int = 0) -> str:
        """Name of the Job that does a step of a restore; on the volumes of several servers it has one for each."""
        return f"{self.engine}-{step}-{restore}-{ordinal}"

    def server(self, component: Component) -> str:
        """Name of the StatefulSet of database or cache."""
        return self.redis if component is Component.CACHE else self.postgres

    def claim(self, component: Component, ordinal: int = 0) -> str:
        """Name of a PersistentVolumeClaim of database or cache: StatefulSets name it by its template and pod."""
        return f"data-{self.server(component)}-{ordinal}"

    def server_revision(self, component: Component, digest: str) -> str:
        """Name of the ControllerRevision that records database or cache as it is made."""
        return f"{self.engine}-{component}-{digest}"

    def check(self, digest: str) -> str:
        """Name of the Job that tries an image and a place for database or cache; `digest` stands for its content."""
        return f"{self.engine}-check-{digest}"

    @property
    def credentials(self) -> str:
        """Name of the generated Secret; `credentialsSecretRef` names another."""
        return f"{self.engine}-credentials"

    @property
    def internal(self) -> str:
        return f"{self.engine}-internal"

    def network_policy(self, component: Component) -> str:
        suffix = {
            Component.ENGINE: "engine",
            Component.MIGRATION: "migrate",
            Component.DATABASE: "postgres",
            Component.CACHE: "redis",
            Component.MAINTENANCE: "maintenance",
            Component.BACKUP: "backup",
            Component.REPOSITORY: "repository",
            Component.RESTORE: "restore",
        }[component]
        return f"{self.engine}-{suffix}"

    def selector(self, component: Component, colour: Colour | None = None) -> dict[str, str]:
        """The labels that select a component's pods, of one colour or of both."""
        labels = {Label.ENGINE.value: self.engine, Label.COMPONENT.value: component.value}
        return {**labels, Label.COLOUR.value: colour.value} if colour else labels

    def labels(self, component: Component, *, version: str = "", colour: Colour | None = None) -> dict[str, str]:
        """The labels of every object of a component."""
        app = {
            Component.ENGINE: "rtx-engine",
            Component.MIGRATION: "rtx-engine",
            Component.DATABASE: "rtx-postgres",
            Component.CACHE: "rtx-redis",
            Component.MAINTENANCE: "rtx-maintenance",
            Component.BACKUP: "rtx-backup",
            Component.REPOSITORY: "rtx-backup",
            Component.RESTORE: "rtx-backup",
        }
        labels = {
            Label.APP.value: app[component],
            **self.selector(component, colour),
            Label.PART_OF.value: PART_OF,
            Label.MANAGED_BY.value: OPERATOR,
        }
        return {**labels, Label.APP_VERSION.value: version} if version else labels
