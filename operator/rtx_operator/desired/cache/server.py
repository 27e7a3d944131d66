"""Redis, one or three with Sentinels: ConfigMap, two Services, and a StatefulSet with volumes."""

from fractions import Fraction

from rtx_operator.api.enums import CacheMode, Component
from rtx_operator.api.names import REDIS_PORT, SENTINEL_PORT
from rtx_operator.api.sizes import cache_resources, sentinel_resources
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.pods import NODE
from rtx_operator.desired.render import Object, render
from rtx_operator.desired.stateful import common, mebibytes

_USER = 10002  # of the image
_DATA_SHARE = Fraction(3, 4)  # of the memory limit; buffers of subscribers and a rewrite of the log need the rest


def cache_services(inputs: BuildInput) -> list[Object]:
    """The Services of the cache: one for clients, and a headless one that its StatefulSet needs."""
    return [
        _service(inputs, inputs.names.redis, headless=False),
        _service(inputs, inputs.names.redis_headless, headless=True),
    ]


def cache_disruption_budget(inputs: BuildInput) -> list[Object]:
    """With Sentinels only one pod is evicted at a time; a single pod must not keep its node from being drained."""
    if inputs.spec.cache.mode is not CacheMode.SENTINEL:
        return []
    budget = render(
        "cache/poddisruptionbudget",
        name=inputs.names.redis,
        namespace=inputs.namespace,
        labels=inputs.names.labels(Component.CACHE),
        owners=inputs.owners,
        selector=inputs.names.selector(Component.CACHE),
    )
    return [budget]


def cache_configuration(inputs: BuildInput) -> Object:
    """The ConfigMap with the part of the server's configuration that follows from the spec."""
    resources = cache_resources(inputs.spec.cache.resources)
    return render(
        "cache/configmap",
        name=inputs.names.redis,
        namespace=inputs.namespace,
        labels=inputs.names.labels(Component.CACHE),
        owners=inputs.owners,
        max_memory_mebibytes=mebibytes(resources.limits.memory, _DATA_SHARE),
    )


def _service(inputs: BuildInput, name: str, *, headless: bool) -> Object:
    return render(
        "cache/service",
        name=name,
        namespace=inputs.namespace,
        labels=inputs.names.labels(Component.CACHE),
        owners=inputs.owners,
        selector=inputs.names.selector(Component.CACHE),
        headless=headless,
        port=REDIS_PORT,
    )


def cache_stateful_set(inputs: BuildInput) -> Object:
    """The StatefulSet as today's templates make it; server_revision.py makes it as it was recorded."""
    cache, fingerprint = inputs.spec.cache, inputs.fingerprints.cache
    members = inputs.names.redis_members if cache.mode is CacheMode.SENTINEL else ()
    return render(
        "cache/statefulset",
        **common(inputs, Component.CACHE, cache, user=_USER, fingerprint=fingerprint, spread=[NODE] if members else []),
        members=" ".join(members),
        size=len(members) or 1,
        sentinel_port=SENTINEL_PORT,
        sentinel_resources=sentinel_resources().model_dump(mode="json", exclude_none=True),
        name=inputs.names.redis,
        headless=inputs.names.redis_headless,
        image=cache.image or inputs.redis_image,
        port=REDIS_PORT,
        resources=cache_resources(cache.resources).model_dump(mode="json", exclude_none=True),
        storage=cache.storage,
        storage_class=cache.storage_class_name,
    )
