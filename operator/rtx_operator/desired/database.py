"""PostgreSQL: one server in a StatefulSet, its volume, its configuration, and the Services that reach it."""

from fractions import Fraction

from rtx_operator.api.enums import Component
from rtx_operator.api.names import POSTGRES_PORT
from rtx_operator.api.sizes import database_resources
from rtx_operator.desired.layout import Layout
from rtx_operator.desired.render import Object, render
from rtx_operator.desired.stateful import common, mebibytes

# The usual shares: what is left is for connections and for the kernel's cache of files.
_SHARED_BUFFERS = Fraction(1, 4)  # of the memory requested
_EFFECTIVE_CACHE = Fraction(3, 4)  # of the memory allowed
_WAL = Fraction(1, 8)  # of the volume
_MOST_WAL = 4096  # mebibytes


def database(layout: Layout) -> list[Object]:
    """All objects of the database but its passwords."""
    return [
        _configuration(layout),
        _service(layout, layout.names.postgres, headless=False),
        _service(layout, layout.names.postgres_headless, headless=True),
        _stateful_set(layout),
    ]


def _configuration(layout: Layout) -> Object:
    resources = database_resources(layout.spec.database.resources)
    return render(
        "database-configmap",
        name=layout.names.postgres,
        namespace=layout.namespace,
        labels=layout.names.labels(Component.DATABASE),
        owners=layout.owners,
        shared_buffers_mebibytes=mebibytes(resources.requests.memory, _SHARED_BUFFERS),
        effective_cache_mebibytes=mebibytes(resources.limits.memory, _EFFECTIVE_CACHE),
        # PostgreSQL wants room for a few files of 16 MiB, on the smallest volume too.
        max_wal_mebibytes=min(max(160, mebibytes(layout.spec.database.storage, _WAL)), _MOST_WAL),
    )


def _service(layout: Layout, name: str, *, headless: bool) -> Object:
    return render(
        "database-service",
        name=name,
        namespace=layout.namespace,
        labels=layout.names.labels(Component.DATABASE),
        owners=layout.owners,
        selector=layout.names.selector(Component.DATABASE),
        headless=headless,
        port=POSTGRES_PORT,
    )


def _stateful_set(layout: Layout) -> Object:
    asked = layout.spec.database
    return render(
        "database-statefulset",
        **common(layout, Component.DATABASE),
        name=layout.names.postgres,
        headless=layout.names.postgres_headless,
        image=asked.image or layout.postgres_image,
        port=POSTGRES_PORT,
        internal=layout.names.internal,
        fingerprint=layout.fingerprints.database,
        resources=database_resources(asked.resources).model_dump(mode="json", exclude_none=True),
        storage=asked.storage,
        storage_class=asked.storage_class_name,
    )
