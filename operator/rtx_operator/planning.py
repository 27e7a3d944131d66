"""From a TradingEngine's spec, and what it already made, to the plan that the decision works on. Pure.

While a colour runs that the spec no longer describes, its objects are built from its own revision, recorded when
it was installed: a running colour is repaired as it was, and never changed into something else.
"""

from dataclasses import replace

from rtx_operator import desired
from rtx_operator.api import sizes
from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import Colour, Component
from rtx_operator.api.status import Cutover, TradingEngineStatus
from rtx_operator.desired import Layout, RevisionSpec
from rtx_operator.observation import Object, Observation
from rtx_operator.plan import ColourPlan, Plan, Revision, Route, Workload
from rtx_operator.settings import Settings

FIRST_COLOUR = Colour.BLUE
REVISION_KIND = "ControllerRevision"  # Kubernetes' own kind for a snapshot of what a workload was


def plan(engine: TradingEngine, seen: Observation, settings: Settings, seed: bytes) -> Plan:
    """The plan of an engine; `seed` is 32 random bytes, from which credentials are made that do not exist yet."""
    layout, secrets = _with_secrets(_layout(engine, seen, settings), seen, seed)
    wanted = desired.revision_spec(layout)
    status = engine.status
    colour = status.active.colour if status.active else FIRST_COLOUR
    running = (_revision(status.active.revision, wanted, seen) if status.active else None) or wanted
    cutover = _under_way(status)
    cutover_id = cutover.id if cutover else ""
    given = engine.spec.credentials_secret_ref
    names, size = layout.names, sizes.replica_range(engine.spec.environment, engine.spec.scaling)
    return Plan(
        active=_colour(layout, colour, running, cutover_id),
        idle=_idle(layout, status, colour, wanted, seen),
        routes={one: _route(layout, one) for one in Colour},
        wanted=_identified(wanted),
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
    layout: Layout, status: TradingEngineStatus, active: Colour, wanted: RevisionSpec, seen: Observation
) -> ColourPlan | None:
    cutover = _under_way(status)
    if cutover:
        release = cutover.to if cutover.to.colour is not active else cutover.from_
        revision = release.revision
    elif status.previous:
        revision = status.previous.revision
    else:
        return None
    spec = _revision(revision, wanted, seen)
    return _colour(layout, active.other, spec, cutover.id if cutover else "") if spec else None


def _lent(layout: Layout, status: TradingEngineStatus, seen: Observation) -> tuple[Object, ...]:
    cutover, previous = _under_way(status), status.previous
    if not cutover or not previous or previous.revision in {cutover.to.revision, cutover.from_.revision}:
        return ()
    revision = _recorded_spec(previous.revision, seen)
    return (desired.controller_revision(layout, revision),) if revision else ()


def _colour(layout: Layout, colour: Colour, revision: RevisionSpec, cutover_id: str) -> ColourPlan:
    return ColourPlan(
        colour=colour,
        revision=_identified(revision),
        objects=tuple(desired.colour_children(layout, colour, revision)),
        install=desired.migration_job(layout, revision, "up"),
        migrate=desired.migration_job(layout, revision, "up", "--half", "expand", cutover=cutover_id),
        reverse=desired.migration_job(layout, revision, "down", cutover=cutover_id),
        contract=desired.migration_job(layout, revision, "up", "--half", "contract"),
    )


def _route(layout: Layout, colour: Colour) -> Route:
    select, *promote = desired.traffic_children(layout, colour)
    workload = Workload("Deployment", layout.names.colour(colour), layout.names.selector(Component.ENGINE, colour))
    return Route(select, tuple(promote), workload)


def _identified(revision: RevisionSpec) -> Revision:
    return Revision(revision.version, revision.digest or None, revision.config_hash, revision.hash)


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


def _revision(revision: str, wanted: RevisionSpec, seen: Observation) -> RevisionSpec | None:
    return wanted if wanted.hash == revision else _recorded_spec(revision, seen)


def _recorded_spec(revision: str, seen: Observation) -> RevisionSpec | None:
    """The revision of a colour that was installed earlier."""
    for recorded in seen.children_of(REVISION_KIND):
        if recorded["metadata"]["name"].endswith(f"-engine-{revision}"):
            return RevisionSpec.recorded(recorded)
    return None
