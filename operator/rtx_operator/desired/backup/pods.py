"""What the pods of backups have in common, and the database's container that serves them."""

from collections.abc import Iterable
from typing import Any

from rtx_operator.api import sizes
from rtx_operator.api.enums import BackupType
from rtx_operator.api.names import InternalKey, StoreKey
from rtx_operator.desired.backup import pgbackrest
from rtx_operator.desired.backup.certificates import Party, TlsKey
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.pods import scheduling_values, security_context
from rtx_operator.desired.render import Object

VOLUME = "backup"  # with the configuration, and what opens the repository
USER = 10001  # of the database's image
HTTPS_PORT = 443
SERVER = "pgbackrest"  # the container with pgBackRest's server
_OF_PARTY = {
    Party.DATABASE: (TlsKey.DATABASE, TlsKey.DATABASE_KEY),
    Party.BACKUP: (TlsKey.BACKUP, TlsKey.BACKUP_KEY),
}
_FILES = {
    StoreKey.AWS_ACCESS_KEY_ID: "PGBACKREST_REPO1_S3_KEY",
    StoreKey.AWS_SECRET_ACCESS_KEY: "PGBACKREST_REPO1_S3_KEY_SECRET",
    StoreKey.BACKUP_PASSPHRASE: "PGBACKREST_REPO1_CIPHER_PASS",
}
_CONFIGURATION_OF = {Party.DATABASE: "database.conf", Party.BACKUP: "repository.conf"}


def backs_up(inputs: BuildInput) -> bool:
    """Whether spec asks for backups."""
    return store_of(inputs) is not BackupType.NONE


def store_of(inputs: BuildInput) -> BackupType:
    """Where backups are kept."""
    return sizes.backup_type(inputs.spec.environment, inputs.spec.backup)


def store_port(inputs: BuildInput) -> int:
    """The port of the bucket with the backups; 0: they are in none."""
    given = inputs.spec.backup.s3
    return int(given.endpoint.partition(":")[2] or HTTPS_PORT) if given else 0


def serves_backups(stateful_set: Object) -> bool:
    """Whether the pods of the database have the container that a backup reads from."""
    containers = stateful_set["spec"]["template"]["spec"]["containers"]
    return any(container["name"] == SERVER for container in containers)


def _access_of(stateful_set: Object) -> frozenset[str]:
    """The names of what the database's pods know their repository by; empty where they cannot serve backups."""
    volumes = stateful_set["spec"]["template"]["spec"].get("volumes") or []
    sources = (source for one in volumes if one["name"] == VOLUME for source in one["projected"]["sources"])
    return frozenset(f"{kind}/{given['name']}" for source in sources for kind, given in source.items())


def is_to_move(live: Object | None, wanted: Iterable[Object]) -> bool:
    """Whether the database runs for another repository than its `wanted` objects are made for: it is to be restarted
    by a maintenance. False where it is not known.
    """
    access = {_access_of(one) for one in wanted if one["kind"] == "StatefulSet" and serves_backups(one)}
    return live is not None and serves_backups(live) and bool(access) and _access_of(live) not in access


def pod_values(inputs: BuildInput, image: str) -> dict[str, Any]:
    """The values that the templates of repository and Jobs share. Both run where the database may."""
    database = inputs.spec.database
    scheduling = scheduling_values(database.scheduling)
    users = {"runAsUser": USER, "runAsGroup": USER, "fsGroup": USER}
    return {
        "image": image,
        "pull_secrets": inputs.pull_secrets,
        **{field: scheduling[field] for field in ("node_selector", "tolerations", "priority_class")},
        "security_context": {
            **security_context(database.pod_security_context, users),
            "fsGroupChangePolicy": "OnRootMismatch",
        },
        "folder": pgbackrest.FOLDER,
        "repository_folder": pgbackrest.REPOSITORY_FOLDER,
    }


def configuration_volume(inputs: BuildInput, party: Party) -> Object:
    """Configuration of pgBackRest, the party's certificate and, where the repository is opened, what opens it.

    The kubelet brings what changes in it into pods that run. What is a user's may be missing: PostgreSQL starts
    without it.
    """
    certificate, key = _OF_PARTY[party]
    tls = {
        "name": inputs.names.backup,
        "items": [
            {"key": TlsKey.CA.value, "path": "tls/ca.crt"},
            {"key": certificate.value, "path": "tls/tls.crt"},
            {"key": key.value, "path": "tls/tls.key"},
        ],
    }
    configuration = {
        "name": inputs.names.backup,
        "items": [
            {"key": _CONFIGURATION_OF[party], "path": pgbackrest.CONFIGURATION},
            *([{"key": pgbackrest.PLACE, "path": pgbackrest.PLACE}] if party is Party.BACKUP else []),
        ],
    }
    sources = [{"configMap": configuration}, {"secret": tls}, *_access(inputs, party)]
    return {"name": VOLUME, "projected": {"defaultMode": 0o440, "sources": sources}}


def _access(inputs: BuildInput, party: Party) -> list[Object]:
    """The secrets of the repository, each as a file that is named as its variable (database/rtx-pgbackrest)."""
    given = inputs.spec.backup.s3
    if given is None:
        key, file = InternalKey.BACKUP_PASSPHRASE.value, _FILES[StoreKey.BACKUP_PASSPHRASE]
        passphrase = {"name": inputs.names.internal, "items": [{"key": key, "path": f"secret/{file}"}]}
        return [{"secret": passphrase}] if party is Party.BACKUP else []
    items = [{"key": key.value, "path": f"secret/{file}"} for key, file in _FILES.items()]
    secret = {"name": given.credentials_secret_ref.name, "items": items, "optional": True}
    ca = given.trusted_ca
    certificate = {"name": ca.name, "items": [{"key": ca.key, "path": "store/ca.crt"}], "optional": True} if ca else {}
    return [{"secret": secret}, *([{"configMap": certificate}] if ca else [])]


def repository_resources() -> Object:
    """Of a server that passes files on: of the repository, and beside the database."""
    return {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}}
