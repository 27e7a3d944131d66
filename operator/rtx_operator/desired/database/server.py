"""PostgreSQL: one server in a StatefulSet, its volume, its configuration, and the Services that reach it."""

from fractions import Fraction

from rtx_operator.api.enums import Component
from rtx_operator.api.names import POSTGRES_PORT
from rtx_operator.api.sizes import database_resources
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.render import Object, render
from rtx_operator.desired.stateful import common, mebibytes

# The usual shares: what is left is for connections and for the kernel's cache of files.
_SHARED_BUFFERS = Fraction(1, 4)  # of the applied requested
_EFFECTIVE_CACHE = Fraction(3, 4)  # of the applied allowed
_WAL = Fraction(1, 8)  # of the volume
_MOST_WAL = 4096  # mebibytes


def database_objects(inputs: BuildInput) -> list[Object]:
    """All objects of the database but its passwords."""
    return [
        _configuration(inputs),
        _service(inputs, inputs.names.postgres, headless=False),
        _service(inputs, inputs.names.postgres_headless, headless=True),
        _stateful_set(inputs),
    ]


def _configuration(inputs: BuildInput) -> Object:
    resources = database_resources(inputs.spec.database.resources)
    return render(
        "database/configmap",
        name=inputs.names.postgres,
        namespace=inputs.namespace,
        labels=inputs.names.labels(Component.DATABASE),
        owners=inputs.owners,
        shared_buffers_mebibytes=mebibytes(resources.requests.memory, _SHARED_BUFFERS),
        effective_cache_mebibytes=mebibytes(resources.limits.memory, _EFFECTIVE_CACHE),
        # PostgreSQL wants room for a few files of 16 MiB, on the smallest volume too.
        max_wal_mebibytes=min(max(160, mebibytes(inputs.spec.database.storage, _WAL)), _MOST_WAL),
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


def _stateful_set(inputs: BuildInput) -> Object:
    asked = inputs.spec.database
    return render(
        "database/statefulset",
        **common(inputs, Component.DATABASE),
        name=inputs.names.postgres,
        headless=inputs.names.postgres_headless,
        image=asked.image or inputs.postgres_image,
        port=POSTGRES_PORT,
        internal=inputs.names.internal,
        fingerprint=inputs.fingerprints.database,
        resources=database_resources(asked.resources).model_dump(mode="json", exclude_none=True),
        storage=asked.storage,
        storage_class=asked.storage_class_name,
    )
