"""The PostgreSQL servers: ConfigMap, Services, disruption budget, and a StatefulSet with a volume for each."""

from fractions import Fraction

from rtx_operator.api.enums import Component, MemberRole
from rtx_operator.api.names import PATRONI_PORT, PGBACKREST_PORT, POSTGRES_PORT, Label
from rtx_operator.api.sizes import database_resources
from rtx_operator.desired.backup import pgbackrest
from rtx_operator.desired.backup.certificates import Party
from rtx_operator.desired.backup.pods import backs_up, configuration_volume, repository_resources
from rtx_operator.desired.database.patroni import cluster_labels
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.pods import NODE, ZONE
from rtx_operator.desired.render import Object, render
from rtx_operator.desired.stateful import common, mebibytes

_USER = 10001  # of the image
# The usual shares of PostgreSQL; connections and the kernel's file cache need the rest.
_SHARED_BUFFERS_SHARE = Fraction(1, 4)  # of the memory request
_EFFECTIVE_CACHE_SHARE = Fraction(3, 4)  # of the memory limit
_WAL_SHARE = Fraction(1, 8)  # of the volume
_KEPT_WAL_SHARE = Fraction(1, 4)  # of the volume
_MIN_WAL_MEBIBYTES = 160  # ten WAL files of 16 MiB, also on the smallest volume
_MAX_WAL_MEBIBYTES = 4096


def database_services(inputs: BuildInput, size: int) -> list[Object]:
    """The Services of the database: of the primary, of the standbys, and a headless one that its StatefulSet needs."""
    names = inputs.names
    reads = MemberRole.REPLICA if size > 1 else MemberRole.PRIMARY
    return [
        _service(inputs, names.postgres, MemberRole.PRIMARY),
        _service(inputs, names.postgres_read_only, reads),
        _service(inputs, names.postgres_headless),
    ]


def database_disruption_budget(inputs: BuildInput) -> Object:
    """Lets one server at a time be evicted, where others go on."""
    return render(
        "database/poddisruptionbudget",
        name=inputs.names.database_disruption_budget,
        namespace=inputs.namespace,
        labels=inputs.names.labels(Component.DATABASE),
        owners=inputs.owners,
        selector=inputs.names.selector(Component.DATABASE),
    )


def database_configuration(inputs: BuildInput) -> Object:
    """The ConfigMap with the part of the server's configuration that follows from the spec."""
    resources = database_resources(inputs.spec.database.resources)
    return render(
        "database/configmap",
        name=inputs.names.postgres,
        namespace=inputs.namespace,
        labels=inputs.names.labels(Component.DATABASE),
        owners=inputs.owners,
        scope=inputs.names.postgres,
        scope_label=Label.DATABASE_CLUSTER.value,
        cluster_labels=cluster_labels(inputs),
        role_label=Label.ROLE.value,
        primary=MemberRole.PRIMARY.value,
        replica=MemberRole.REPLICA.value,
        port=POSTGRES_PORT,
        patroni_port=PATRONI_PORT,
        shared_buffers_mebibytes=mebibytes(resources.requests.memory, _SHARED_BUFFERS_SHARE),
        effective_cache_mebibytes=mebibytes(resources.limits.memory, _EFFECTIVE_CACHE_SHARE),
        archives=backs_up(inputs),
        parameters=inputs.spec.database.parameters.at_start,
        max_wal_mebibytes=min(
            max(_MIN_WAL_MEBIBYTES, mebibytes(inputs.spec.database.storage, _WAL_SHARE)), _MAX_WAL_MEBIBYTES
        ),
        max_kept_wal_mebibytes=mebibytes(inputs.spec.database.storage, _KEPT_WAL_SHARE),
    )


def _service(inputs: BuildInput, name: str, role: MemberRole | None = None) -> Object:
    """The Service of the servers of a role; without one, the headless Service of all of them."""
    return render(
        "database/service",
        name=name,
        namespace=inputs.namespace,
        labels=inputs.names.labels(Component.DATABASE),
        owners=inputs.owners,
        selector={**inputs.names.selector(Component.DATABASE), **({Label.ROLE.value: role.value} if role else {})},
        headless=role is None,
        port=POSTGRES_PORT,
        patroni_port=PATRONI_PORT,
    )


def database_stateful_set(inputs: BuildInput) -> Object:
    """The StatefulSet as today's templates make it; server_revision.py makes it as it was recorded."""
    database = inputs.spec.database
    values = common(
        inputs, Component.DATABASE, database, user=_USER, fingerprint=inputs.fingerprints.database, spread=[ZONE]
    )
    return render(
        "database/statefulset",
        **{
            **values,
            "pod_labels": {**values["pod_labels"], **cluster_labels(inputs)},
            "account": database.service_account.name or inputs.names.database_account,
            "affinity": {"podAntiAffinity": _apart(inputs), **(values["affinity"] or {})},
        },
        backup=_backup(inputs) if backs_up(inputs) else None,
        name=inputs.names.postgres,
        headless=inputs.names.postgres_headless,
        image=database.image or inputs.postgres_image,
        port=POSTGRES_PORT,
        patroni_port=PATRONI_PORT,
        internal=inputs.names.internal,
        resources=database_resources(database.resources).model_dump(mode="json", exclude_none=True),
        storage=database.storage,
        storage_class=database.storage_class_name,
    )


def _backup(inputs: BuildInput) -> Object:
    """The container that serves backups."""
    return {
        "folder": pgbackrest.FOLDER,
        "port": PGBACKREST_PORT,
        "resources": repository_resources(),
        "configuration": configuration_volume(inputs, Party.DATABASE),
    }


def _apart(inputs: BuildInput) -> Object:
    """No node has two servers, so that one lost node leaves a quorum."""
    selector = {"matchLabels": inputs.names.selector(Component.DATABASE)}
    term = {"topologyKey": NODE, "labelSelector": selector}
    return {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
