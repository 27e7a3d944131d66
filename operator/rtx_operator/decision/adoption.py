"""Adopts the release that serves, where status names none: status was lost, or the engine was orphaned and came back.

The fence is the authority: what may execute is active, whatever else runs. Its Deployment says which revision that is.
When that is gone, the other colour serves in its place if it has pods; one that was retired never does, as the schema
is its own no more. Then the record says what is to be made again. Without either the engine is installed. With a
Deployment that has served, and no answer of the database, what serves is unknown, not absent: it waits untouched
(DecisionContext.serves_unknown).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import Colour
from rtx_operator.api.names import Label, Names
from rtx_operator.api.sizes import replica_range
from rtx_operator.api.status import Active, Previous
from rtx_operator.decision.fence import install_move
from rtx_operator.desired.record import KIND, recorded
from rtx_operator.desired.served import colour_deployment, was_complete
from rtx_operator.observation import Fence, Object, Observation, Owner, engine_container, replicas


def adopted(
    engine: TradingEngine, seen: Observation, wanted_revision: Callable[[], str], now: datetime
) -> TradingEngine:
    """The engine with what serves as its active release, and what else runs as the previous one.

    The engine as it is when its status names an active release, and when there is nothing to adopt. The revision of
    the spec is computed only where something may be adopted: that parses the records of all releases.
    """
    fence = seen.database.fence if seen.database else None
    owner = Owner(engine.namespace, engine.name, engine.uid)
    if engine.status.active or fence is None or not owner.owns(fence):
        return engine
    names = Names(engine.name)
    found = {one: live for one in Colour if (live := colour_deployment(names, engine.uid, seen, one))}
    colour = next((one for one in found if one.value in fence.executors), _with_pods(found))
    if colour is None:  # beside a retired release there was another one; without any it is an installation
        return _with_active(engine, _of_record(names, seen, fence, wanted_revision()), None) if found else engine
    minimum = replica_range(engine.spec.environment, engine.spec.scaling).minimum
    if _is_being_installed(found[colour], fence, owner, wanted_revision(), minimum):
        return engine
    other = found.get(colour.other)
    previous = _previous(engine, colour.other, other, now) if other else None
    return _with_active(engine, _active(colour, found[colour], fence), previous)


def _with_active(engine: TradingEngine, active: Active | None, previous: Previous | None) -> TradingEngine:
    if active is None:
        return engine
    return replace(engine, status=engine.status.model_copy(update={"active": active, "previous": previous}))


def _with_pods(found: Mapping[Colour, Object]) -> Colour | None:
    return next((one for one, deployment in found.items() if replicas(deployment)[0]), None)


def _of_record(names: Names, seen: Observation, fence: Fence, wanted: str) -> Active | None:
    """The release that the fence names, by its record: the revision that spec asks for, else the only one recorded."""
    made = [
        (colour, _label(one, Label.REVISION))
        for one in seen.children_of(KIND)
        for colour in Colour
        if colour.value in fence.executors and _label(one, Label.COLOUR) == colour
    ]
    named = [(colour, revision) for colour, revision in made if revision in (fence.revisions or [wanted])]
    if len(found := named or made) != 1:
        return None
    [(colour, revision)] = found
    record = recorded(names, seen, colour, revision)
    if record is None:
        return None
    return Active(
        colour=colour,
        version=record.version,
        image=record.image,
        digest=record.digest or None,
        config_hash=record.config_hash,
        revision=revision,
        epoch=fence.epoch,
    )


def _is_being_installed(deployment: Object, fence: Fence, owner: Owner, wanted: str, minimum: int) -> bool:
    """Whether it is the first installation's, which has not served yet: the spec may still change what it becomes."""
    is_ours = bool(deployment["metadata"].get("ownerReferences"))
    is_first = fence.cutover == install_move(owner, 0)
    size, ready = replicas(deployment)
    serves_another = ready > 0 and _label(deployment, Label.REVISION) != wanted
    # A Deployment is made with one pod and gets its size at the next look: until then complete means nothing.
    has_served = was_complete(deployment) and size >= minimum
    return is_ours and is_first and not serves_another and not has_served


def _active(colour: Colour, deployment: Object, fence: Fence) -> Active:
    container = engine_container(deployment["spec"]["template"])
    config = container["envFrom"][0]["configMapRef"]["name"]
    return Active(
        colour=colour,
        version=_label(deployment, Label.APP_VERSION),
        image=container["image"],
        digest=container["image"].partition("@")[2] or None,
        config_hash=config.rpartition("-")[2],
        revision=_label(deployment, Label.REVISION),
        epoch=fence.epoch,
    )


def _previous(engine: TradingEngine, colour: Colour, deployment: Object, now: datetime) -> Previous | None:
    """The other colour, kept as after a cutover; None when it has no pods."""
    size, _ = replicas(deployment)
    if not size:
        return None
    return Previous(
        colour=colour,
        version=_label(deployment, Label.APP_VERSION),
        revision=_label(deployment, Label.REVISION),
        retire_after=now + engine.spec.rollout.keep_previous_for,
        kept_for_seconds=engine.spec.rollout.keep_previous_for.total_seconds(),
        adopted=True,
    )


def _label(labelled: Object, label: Label) -> str:
    return str(labelled["metadata"].get("labels", {}).get(label.value, ""))
