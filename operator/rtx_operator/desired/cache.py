"""Redis: one server in a StatefulSet, its volume, its configuration, and the Services that reach it."""

from fractions import Fraction

from rtx_operator.api.enums import Component
from rtx_operator.api.names import REDIS_PORT
from rtx_operator.api.sizes import cache_resources
from rtx_operator.desired.layout import Layout
from rtx_operator.desired.render import Object, render
from rtx_operator.desired.stateful import common, mebibytes

_DATA = Fraction(3, 4)  # of the memory allowed; the rest is for subscribers' buffers and for a rewrite


def cache(layout: Layout) -> list[Object]:
    """All objects of the cache but its password."""
    return [
        _configuration(layout),
        _service(layout, layout.names.redis, headless=False),
        _service(layout, layout.names.redis_headless, headless=True),
        _stateful_set(layout),
    ]


def _configuration(layout: Layout) -> Object:
    resources = cache_resources(layout.spec.cache.resources)
    return render(
        "cache-configmap",
        name=layout.names.redis,
        namespace=layout.namespace,
        labels=layout.names.labels(Component.CACHE),
        owners=layout.owners,
        most_mebibytes=mebibytes(resources.limits.memory, _DATA),
    )


def _service(layout: Layout, name: str, *, headless: bool) -> Object:
    return render(
        "cache-service",
        name=name,
        namespace=layout.namespace,
        labels=layout.names.labels(Component.CACHE),
        owners=layout.owners,
        selector=layout.names.selector(Component.CACHE),
        headless=headless,
        port=REDIS_PORT,
    )


def _stateful_set(layout: Layout) -> Object:
    asked = layout.spec.cache
    return render(
        "cache-statefulset",
        **common(layout, Component.CACHE),
        name=layout.names.redis,
        headless=layout.names.redis_headless,
        image=asked.image or layout.redis_image,
        port=REDIS_PORT,
        fingerprint=layout.fingerprints.cache,
        resources=cache_resources(asked.resources).model_dump(mode="json", exclude_none=True),
        storage=asked.storage,
        storage_class=asked.storage_class_name,
    )
