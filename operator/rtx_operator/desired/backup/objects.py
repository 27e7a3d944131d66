"""The objects of backups: configuration, certificates, the repository with its volume, and the Jobs on a schedule."""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from rtx_operator.api import sizes
from rtx_operator.api.enums import BackupType, Component, DeletionPolicy
from rtx_operator.api.names import KEPT, MAX_DATABASE_INSTANCES, PGBACKREST_PORT, InternalKey, Names
from rtx_operator.api.quantities import amount
from rtx_operator.desired.backup import pgbackrest
from rtx_operator.desired.backup.certificates import Party, TlsKey, certificates
from rtx_operator.desired.backup.pods import (
    configuration_volume,
    pod_values,
    repository_resources,
    store_of,
    store_port,
)
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.render import Object, digest, render
from rtx_operator.observation import secret_text

# Of the database's volume: log that the repository does not take. Beyond it the log has a gap, and orders go on.
_QUEUE_SHARE = 4


def backup_secret(inputs: BuildInput, live: Object | None, seed: bytes, now: datetime) -> Object:
    """The Secret with the certificates; those of `live`, the Secret as just read, stay while they are good."""
    values = {key.value: text for key in TlsKey if (text := secret_text(live, key))}
    hosts = {
        Party.DATABASE: _database_hosts(inputs, MAX_DATABASE_INSTANCES),
        Party.BACKUP: [_repository_host(inputs)],
    }
    made = certificates(values, hosts, seed, now)
    is_kept = inputs.spec.deletion_policy is DeletionPolicy.RETAIN
    return render(
        "credentials-secret",
        **_meta(inputs, Component.REPOSITORY),
        kept=KEPT if is_kept else {},
        data={key: base64.b64encode(text.encode()).decode() for key, text in sorted(made.items())},
    )


def repository_objects(inputs: BuildInput, internal: Mapping[str, str], image: str) -> list[Object]:
    """Configuration and, unless it is a bucket, the repository. `internal` are the values of the internal Secret.

    `image` is that of the database that runs: pgBackRest talks only to its own version.
    """
    if store_of(inputs) is not BackupType.VOLUME:
        return [_configuration(inputs, internal)]
    return [
        _configuration(inputs, internal),
        render(
            "backup/service",
            **_meta(inputs, Component.REPOSITORY),
            selector=inputs.names.selector(Component.REPOSITORY),
            port=PGBACKREST_PORT,
        ),
        _repository(inputs, image),
    ]


def backup_folder(inputs: BuildInput, internal: Mapping[str, str]) -> str:
    """The folder of this database in the repository, as pgBackRest names it."""
    return pgbackrest.folder_of(_store(inputs), _folder(inputs, internal))


def _configuration(inputs: BuildInput, internal: Mapping[str, str]) -> Object:
    setup = pgbackrest.Setup(
        database_hosts=_database_hosts(inputs, inputs.spec.database.instances),
        store=_store(inputs),
        folder=_folder(inputs, internal),
        retention_days=inputs.spec.backup.retention_days,
        queue_max_bytes=int(amount(inputs.spec.database.storage) / _QUEUE_SHARE),
    )
    return render(
        "backup/configmap",
        **_meta(inputs, Component.REPOSITORY),
        database=pgbackrest.of_database(setup),
        repository=pgbackrest.of_repository(setup),
        place=_place(inputs, setup.folder),
    )


def _place(inputs: BuildInput, folder: str) -> str:
    """Tells one repository from another: backups are good for an engine only where its database sends its log."""
    store = inputs.spec.backup.s3
    return digest({"folder": folder, **({"bucket": store.bucket, "endpoint": store.endpoint} if store else {})})


def place_of(objects: Iterable[Object], names: Names) -> str:
    """The place of the repository among the objects of an engine; empty where they have none."""
    found = (one for one in objects if (one["kind"], one["metadata"]["name"]) == ("ConfigMap", names.backup))
    return next((str(one["data"][pgbackrest.PLACE]) for one in found), "")


def _store(inputs: BuildInput) -> pgbackrest.Volume | pgbackrest.Bucket:
    given = inputs.spec.backup.s3
    if given is None:
        return pgbackrest.Volume(_repository_host(inputs))
    return pgbackrest.Bucket(
        name=given.bucket,
        host=given.endpoint.partition(":")[0],
        port=store_port(inputs),
        region=given.region,
        uri_style=given.uri_style.lower(),
        has_own_ca=given.trusted_ca is not None,
    )


def _folder(inputs: BuildInput, internal: Mapping[str, str]) -> str:
    """The folder of this database in the repository. On a volume, another passphrase cannot read anything in the old
    one; that of a bucket is its user's.
    """
    incarnation = internal[InternalKey.BACKUP_INCARNATION]
    if given := inputs.spec.backup.s3:
        parts = (given.path, inputs.namespace, inputs.name, digest({"incarnation": incarnation}))
        return "/".join(filter(None, parts))
    passphrase = hashlib.sha256(internal[InternalKey.BACKUP_PASSPHRASE].encode()).hexdigest()
    return digest({"passphrase": passphrase, "incarnation": incarnation})


def _repository(inputs: BuildInput, image: str) -> Object:
    backup, selector = inputs.spec.backup, inputs.names.selector(Component.REPOSITORY)
    return render(
        "backup/repository",
        **_meta(inputs, Component.REPOSITORY),
        **pod_values(inputs, image),
        when_deleted=inputs.spec.deletion_policy.value,
        selector=selector,
        database=inputs.names.selector(Component.DATABASE),
        resources=repository_resources(),
        port=PGBACKREST_PORT,
        configuration=configuration_volume(inputs, Party.BACKUP),
        claim_labels=selector,
        claim_annotations=KEPT,
        storage=sizes.backup_storage(backup, inputs.spec.database.storage),
        storage_class=backup.storage_class_name,
    )


def _meta(inputs: BuildInput, component: Component) -> dict[str, Any]:
    return {
        "name": inputs.names.backup,
        "namespace": inputs.namespace,
        "labels": inputs.names.labels(component),
        "owners": inputs.owners,
    }


def _database_hosts(inputs: BuildInput, instances: int) -> list[str]:
    names = inputs.names
    domain = f"{names.postgres_headless}.{inputs.namespace}.svc"
    return [f"{names.postgres}-{ordinal}.{domain}" for ordinal in range(instances)]


def _repository_host(inputs: BuildInput) -> str:
    return f"{inputs.names.backup}.{inputs.namespace}.svc"
