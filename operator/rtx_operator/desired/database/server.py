"""One PostgreSQL server: ConfigMap, two Services, and a StatefulSet with its volume."""

from fractions import Fraction

from rtx_operator.api.enums import Component
from rtx_operator.api.names import POSTGRES_PORT
from rtx_operator.api.sizes import database_resources
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.pods import ZONE
from rtx_operator.desired.render import Object, render
from rtx_operator.desired.stateful import common, mebibytes

_USER = 10001  # of the image
# The usual shares of PostgreSQL; connections and the kernel's file cache need the rest.
_SHARED_BUFFERS_SHARE = Fraction(1, 4)  # of the memory request
_EFFECTIVE_CACHE_SHARE = Fraction(3, 4)  # of the memory limit
_WAL_SHARE = Fraction(1, 8)  # of the volume
_MIN_WAL_MEBIBYTES = 160  # ten WAL files of 16 MiB, also on the smallest volume
_MAX_WAL_MEBIBYTES = 4096


def database_services(inputs: BuildInput) -> list[Object]:
    """The Services of the database: one for clients, and a headless one that its StatefulSet needs."""
    return [
        _service(inputs, inputs.names.postgres, headless=False),
        _service(inputs, inputs.names.postgres_headless, headless=True),
    ]


def database_configuration(inputs: BuildInput) -> Object:
    """The ConfigMap with the part of the server's configuration that follows from the spec."""
    resources = database_resources(inputs.spec.database.resources)
    return render(
        "database/configmap",
        name=inputs.names.postgres,
        namespace=inputs.namespace,
        labels=inputs.names.labels(Component.DATABASE),
        owners=inputs.owners,
        shared_buffers_mebibytes=mebibytes(resources.requests.memory, _SHARED_BUFFERS_SHARE),
        effective_cache_mebibytes=mebibytes(resources.limits.memory, _EFFECTIVE_CACHE_SHARE),
        max_wal_mebibytes=min(
            max(_MIN_WAL_MEBIBYTES, mebibytes(inputs.spec.database.storage, _WAL_SHARE)), _MAX_WAL_MEBIBYTES
        ),
    )


def _service(inputs: BuildInput, name: str, *, headless: bool) -> Object:
    return render(
        "database/service",
        name=name,
        namespace=inputs.namespace,
        labels=inputs.names.labels(Component.DATABASE),
        owners=inputs.owners,
        selector=inputs.names.selector(Component.DATABASE),
        headless=headless,
        port=POSTGRES_PORT,
    )


def database_stateful_set(inputs: BuildInput) -> Object:
    """The StatefulSet as today's templates make it; server_revision.py makes it as it was recorded."""
    database = inputs.spec.database
    return render(
        "database/statefulset",
        **common(
            inputs, Component.DATABASE, database, user=_USER, fingerprint=inputs.fingerprints.database, spread=[ZONE]
        ),
        name=inputs.names.postgres,
        headless=inputs.names.postgres_headless,
        image=database.image or inputs.postgres_image,
        port=POSTGRES_PORT,
        internal=inputs.names.internal,
        resources=database_resources(database.resources).model_dump(mode="json", exclude_none=True),
        storage=database.storage,
        storage_class=database.storage_class_name,
    )
