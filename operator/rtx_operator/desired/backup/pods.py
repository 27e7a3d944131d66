"""What the pods of backups have in common, and the database's container that serves them."""

from typing import Any

from rtx_operator.api import sizes
from rtx_operator.api.enums import BackupType
from rtx_operator.api.names import InternalKey
from rtx_operator.desired.backup import pgbackrest
from rtx_operator.desired.backup.certificates import Party, TlsKey
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.pods import scheduling_values, security_context
from rtx_operator.desired.render import Object

USER = 10001  # of the database's image
SERVER = "pgbackrest"  # the container with pgBackRest's server
_OF_PARTY = {
    Party.DATABASE: (TlsKey.DATABASE, TlsKey.DATABASE_KEY),
    Party.BACKUP: (TlsKey.BACKUP, TlsKey.BACKUP_KEY),
}
_CONFIGURATION_OF = {Party.DATABASE: "database.conf", Party.BACKUP: "repository.conf"}


def backs_up(inputs: BuildInput) -> bool:
    """Whether spec asks for backups."""
    return sizes.backup_type(inputs.spec.environment, inputs.spec.backup) is not BackupType.NONE


def serves_backups(stateful_set: Object) -> bool:
    """Whether the pods of the database have the container that a backup reads from."""
    containers = stateful_set["spec"]["template"]["spec"]["containers"]
    return any(container["name"] == SERVER for container in containers)


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
    """Configuration of pgBackRest, the party's certificate and, where the repository is opened, its passphrase.

    The kubelet brings what changes in it into pods that run.
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
        "items": [{"key": _CONFIGURATION_OF[party], "path": pgbackrest.CONFIGURATION}],
    }
    passphrase = {
        "name": inputs.names.internal,
        "items": [{"key": InternalKey.BACKUP_PASSPHRASE.value, "path": "secret/PGBACKREST_REPO1_CIPHER_PASS"}],
    }
    sources = [{"configMap": configuration}, {"secret": tls}]
    return {
        "name": "backup",
        "projected": {
            "defaultMode": 0o440,
            "sources": [*sources, *([{"secret": passphrase}] if party is Party.BACKUP else [])],
        },
    }


def repository_resources() -> Object:
    """Of a server that passes files on: of the repository, and beside the database."""
    return {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}}
