"""From a TradingEngine's spec, and what it already made, to the plan that the decision works on. Pure.

While a colour runs that the spec no longer describes, its objects are built from its own shape, kept in the cluster
since it was installed: a running colour is repaired as it was, and never changed into something else.
"""

from dataclasses import replace

from rtx_operator import desired
from rtx_operator.api import sizes
from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import Colour, Component
from rtx_operator.desired import Layout, PodShape
from rtx_operator.observation import Object, Observation
from rtx_operator.plan import ColourPlan, Plan, Workload
from rtx_operator.settings import Settings

FIRST_COLOUR = Colour.BLUE
SHAPE_KIND = "ControllerRevision"  # Kubernetes' own kind for a snapshot of what a workload was


def plan(engine: TradingEngine, seen: Observation, settings: Settings, seed: bytes) -> Plan:
    """The plan of an engine; `seed` is 32 random bytes, from which credentials are made that do not exist yet."""
    layout, secrets = _with_secrets(_layout(engine, seen, settings), seen, seed)
    wanted = desired.pod_shape(layout)
    active = engine.status.active
    colour = active.colour if active else FIRST_COLOUR
    running = wanted
    if active is not None and active.pod_hash != wanted.hash:
        running = _kept_shape(active.pod_hash, seen) or wanted
    migration = desired.migration_job(layout, running)
    given = engine.spec.credentials_secret_ref
    names, size = layout.names, sizes.replica_range(engine.spec.environment, engine.spec.scaling)
    return Plan(
        active=ColourPlan(colour, running.version, running.digest or None, running.config_hash, running.hash),
        wanted_hash=wanted.hash,
        foundation=(*secrets, *desired.foundation(layout)),
        migration=(migration,),
        colour_objects=(*desired.colour_children(layout, colour, running), *desired.traffic_children(layout, colour)),
        database=Workload("StatefulSet", names.postgres, names.selector(Component.DATABASE)),
        cache=Workload("StatefulSet", names.redis, names.selector(Component.CACHE)),
        migrator=Workload("Job", migration["metadata"]["name"], names.selector(Component.MIGRATION)),
        engine=Workload("Deployment", names.colour(colour), names.selector(Component.ENGINE, colour)),
        live_service=names.live_service,
        credentials_name=given.name if given else "",
        minimum=size.least,
        maximum=size.most,
    )


def _layout(engine: TradingEngine, seen: Observation, settings: Settings) -> Layout:
    return Layout(
        namespace=engine.namespace,
        name=engine.name,
        uid=engine.uid,
        spec=engine.spec,
        postgres_image=settings.postgres_image,
        redis_image=settings.redis_image,
        operator_namespace=settings.namespace,
        orders_metric=seen.orders_metric_served,
    )


def _with_secrets(layout: Layout, seen: Observation, seed: bytes) -> tuple[Layout, list[Object]]:
    """The Secrets, those that exist kept key by key, and the layout that knows them."""
    internal = seen.child("Secret", layout.names.internal)
    generated = seen.child("Secret", layout.names.credentials)
    secrets = desired.secrets(layout, internal, generated, seed)
    of_name = {secret["metadata"]["name"]: secret for secret in secrets}
    credentials = seen.credentials if layout.spec.credentials_secret_ref else of_name[layout.names.credentials]
    fingerprints = desired.fingerprints(of_name[layout.names.internal], credentials)
    return replace(layout, fingerprints=fingerprints), secrets


def _kept_shape(pod_hash: str, seen: Observation) -> PodShape | None:
    """The shape of a colour that was installed earlier."""
    for revision in seen.children_of(SHAPE_KIND):
        if revision["metadata"]["name"].endswith(f"-engine-{pod_hash}"):
            return PodShape.recorded(revision)
    return None
