"""From a TradingEngine's spec, and what it already made, to the plan that the decision works on. Pure.

While a colour runs that the spec no longer describes, its objects are built from its own shape, kept in the cluster
since it was installed: a running colour is repaired as it was, and never changed into something else.
"""

from dataclasses import replace

from rtx_operator import desired
from rtx_operator.api import sizes
from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import Colour, Component
from rtx_operator.api.status import Cutover, TradingEngineStatus
from rtx_operator.desired import Layout, PodShape
from rtx_operator.observation import Object, Observation
from rtx_operator.plan import ColourPlan, Plan, Route, Shape, Workload
from rtx_operator.settings import Settings

FIRST_COLOUR = Colour.BLUE
SHAPE_KIND = "ControllerRevision"  # Kubernetes' own kind for a snapshot of what a workload was


def plan(engine: TradingEngine, seen: Observation, settings: Settings, seed: bytes) -> Plan:
    """The plan of an engine; `seed` is 32 random bytes, from which credentials are made that do not exist yet."""
    layout, secrets = _with_secrets(_layout(engine, seen, settings), seen, seed)
    wanted = desired.pod_shape(layout)
    status = engine.status
    colour = status.active.colour if status.active else FIRST_COLOUR
    running = (_shape(status.active.pod_hash, wanted, seen) if status.active else None) or wanted
    cutover = _under_way(status)
    cutover_id = cutover.id if cutover else ""
    given = engine.spec.credentials_secret_ref
    names, size = layout.names, sizes.replica_range(engine.spec.environment, engine.spec.scaling)
    return Plan(
        active=_colour(layout, colour, running, cutover_id),
        idle=_idle(layout, status, colour, wanted, seen),
        routes={one: _route(layout, one) for one in Colour},
        wanted=_stands_for(wanted),
        foundation=(*secrets, *desired.foundation(layout)),
        lent=_lent(layout, status, seen),
        database=Workload("StatefulSet", names.postgres, names.selector(Component.DATABASE)),
        cache=Workload("StatefulSet", names.redis, names.selector(Component.CACHE)),
        live_service=names.live_service,
        credentials_name=given.name if given else "",
        minimum=size.least,
        maximum=size.most,
    )


def _under_way(status: TradingEngineStatus) -> Cutover | None:
    return status.cutover if status.cutover and not status.cutover.phase.is_terminal else None


def _idle(
    layout: Layout, status: TradingEngineStatus, active: Colour, wanted: PodShape, seen: Observation
) -> ColourPlan | None:
    cutover = _under_way(status)
    if cutover:
        release = cutover.to if cutover.to.colour is not active else cutover.from_
        pod_hash = release.pod_hash
    elif status.previous:
        pod_hash = status.previous.pod_hash
    else:
        return None
    shape = _shape(pod_hash, wanted, seen)
    return _colour(layout, active.other, shape, cutover.id if cutover else "") if shape else None


def _lent(layout: Layout, status: TradingEngineStatus, seen: Observation) -> tuple[Object, ...]:
    cutover, previous = _under_way(status), status.previous
    if not cutover or not previous or previous.pod_hash in {cutover.to.pod_hash, cutover.from_.pod_hash}:
        return ()
    shape = _kept_shape(previous.pod_hash, seen)
    return (desired.revision(layout, shape),) if shape else ()


def _colour(layout: Layout, colour: Colour, shape: PodShape, cutover_id: str) -> ColourPlan:
    return ColourPlan(
        colour=colour,
        shape=_stands_for(shape),
        objects=tuple(desired.colour_children(layout, colour, shape)),
        install=desired.migration_job(layout, shape, "up"),
        migrate=desired.migration_job(layout, shape, "up", "--half", "expand", cutover=cutover_id),
        reverse=desired.migration_job(layout, shape, "down", cutover=cutover_id),
        contract=desired.migration_job(layout, shape, "up", "--half", "contract"),
    )


def _route(layout: Layout, colour: Colour) -> Route:
    select, *promote = desired.traffic_children(layout, colour)
    workload = Workload("Deployment", layout.names.colour(colour), layout.names.selector(Component.ENGINE, colour))
    return Route(select, tuple(promote), workload)


def _stands_for(shape: PodShape) -> Shape:
    return Shape(shape.version, shape.digest or None, shape.config_hash, shape.hash)


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


def _shape(pod_hash: str, wanted: PodShape, seen: Observation) -> PodShape | None:
    return wanted if wanted.hash == pod_hash else _kept_shape(pod_hash, seen)


def _kept_shape(pod_hash: str, seen: Observation) -> PodShape | None:
    """The shape of a colour that was installed earlier."""
    for revision in seen.children_of(SHAPE_KIND):
        if revision["metadata"]["name"].endswith(f"-engine-{pod_hash}"):
            return PodShape.recorded(revision)
    return None
