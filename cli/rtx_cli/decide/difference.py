"""What a change of spec would do, by the operator's own rules. Pure.

Imports the operator's models, and so is imported only by `diff`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rtx_operator.api.engine import InvalidSpecError, OperatorTooOldError, TradingEngine
from rtx_operator.api.enums import Component, ConditionType, ServerComponent
from rtx_operator.desired import BuildInput, asked_of_spec, wanted_revision
from rtx_operator.observation import Observation

from rtx_cli.decide.engine import Engine, Object
from rtx_cli.decide.revisions import POD_FIELDS
from rtx_cli.exits import CliError

_SERVERS: tuple[ServerComponent, ...] = (Component.DATABASE, Component.CACHE)


class Effect(StrEnum):
    """What a change of one field does."""

    CUTOVER = "cutover"  # engine pods are made of it
    MAINTENANCE = "maintenance"  # the pod of database or cache is made of it, and is restarted
    IN_PLACE = "in place"  # no pod is replaced


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of spec."""

    path: str
    before: Any
    after: Any
    effect: Effect


@dataclass(frozen=True, slots=True)
class Difference:
    """What would change, and a sentence for each operation that it begins or ends."""

    changes: tuple[FieldChange, ...]
    verdict: tuple[str, ...]


def difference(before: Object, after: Object, children: Mapping[tuple[str, str], Object]) -> Difference:
    """From the stored TradingEngine to what the API server would store. `children` are its records and Deployments.

    Raises CliError.
    """
    changes = tuple(_changes(before, after["spec"]))
    old, new = _parsed(before), _parsed(after)
    engine = Engine.of(before)
    wanted, wanted_before = (_revision(one, children) for one in (new, old))
    verdict = [
        *_doubt(engine, wanted_before),
        *_of_pods(engine, wanted, wanted_before, new.spec.version),
        *_of_servers(old, new),
        *_of_pause(old.spec.paused, new.spec.paused),
    ]
    if not verdict:
        verdict = [
            "no pod is replaced: the operator carries the changes out in place" if changes else "nothing changes"
        ]
    return Difference(changes, tuple(verdict))


def installation(after: Object) -> Difference:
    """Of an engine that does not exist yet."""
    spec = after["spec"]
    return Difference((), (f"a new engine is installed, version {spec.get('version', '')}",))


def _changes(before: Object, spec: Mapping[str, Any]) -> Iterator[FieldChange]:
    for path, old, new in _leaves(before["spec"], spec, ()):
        yield FieldChange(".".join(("spec", *path)), old, new, _effect(path, before, spec))


def _leaves(
    before: Mapping[str, Any], after: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    for name in sorted({**before, **after}):
        old, new = before.get(name), after.get(name)
        if all(isinstance(one, dict | None) for one in (old, new)) and (old or new):
            yield from _leaves(old or {}, new or {}, (*path, name))
        elif old != new:
            yield (*path, name), old, new


def _effect(path: tuple[str, ...], before: Object, spec: Mapping[str, Any]) -> Effect:
    if path[0] in POD_FIELDS and path[:2] != ("serviceAccount", "annotations"):
        return Effect.CUTOVER
    return Effect.MAINTENANCE if _is_of_servers(path, before, spec) else Effect.IN_PLACE


def _is_of_servers(path: tuple[str, ...], before: Object, spec: Mapping[str, Any]) -> bool:
    """Whether database or cache would be restarted for this change alone; with its neighbours, where it is no spec."""
    for depth in range(len(path), 0, -1):
        alone = {**before, "spec": _with_part(before["spec"], spec, path[:depth])}
        try:
            return any(True for _ in _of_servers(TradingEngine.parse(before), TradingEngine.parse(alone)))
        except (InvalidSpecError, OperatorTooOldError):
            continue
    return False


def _with_part(before: Mapping[str, Any], after: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """`before` with what `after` has there, or has not."""
    name, *rest = path
    if rest:
        return {**before, name: _with_part(before.get(name) or {}, after.get(name) or {}, tuple(rest))}
    kept = {field: value for field, value in before.items() if field != name}
    return {**kept, name: after[name]} if name in after else kept


def _parsed(manifest: Object) -> TradingEngine:
    try:
        return TradingEngine.parse(manifest)
    except InvalidSpecError as error:
        raise CliError(str(error)) from error
    except OperatorTooOldError as error:
        raise CliError(
            f"{error}. This plugin is of that earlier release: install the plugin of the operator's release"
        ) from error


def _revision(engine: TradingEngine, children: Mapping[tuple[str, str], Object]) -> str:
    """The revision that the operator would find that spec asks for."""
    inputs = BuildInput(
        namespace=engine.namespace,
        name=engine.name,
        uid=engine.uid,
        spec=engine.spec,
        postgres_image="",  # neither these nor the namespace is part of a revision
        redis_image="",
        operator_namespace="",
        refresh=engine.refresh,
    )
    try:
        return wanted_revision(engine, inputs, Observation(children=children)).hash
    except OperatorTooOldError as error:
        raise CliError(
            f"{error}. This plugin is of that earlier release: install the plugin of the operator's release"
        ) from error


def _doubt(engine: Engine, wanted_before: str) -> Iterator[str]:
    """Whether this release of the plugin judges what runs as the operator does."""
    up_to_date, active = engine.current(ConditionType.UP_TO_DATE), engine.active
    if up_to_date and up_to_date.holds and active and active.revision != wanted_before:
        yield (
            "this plugin and the operator judge the present spec differently, so this may be wrong: use the plugin of "
            "the operator's release"
        )


def _of_pods(engine: Engine, wanted: str, wanted_before: str, version: str) -> Iterator[str]:
    active, previous, cutover = engine.active, engine.previous, engine.cutover
    moving = cutover if cutover and not cutover.is_over else None
    if wanted == wanted_before:
        return
    if active is None:
        yield f"the installation, which is under way, goes on with version {version}"
        return
    rejected = engine.rejected
    if moving and wanted != moving.target_revision:
        yield f"the cutover {moving.title}, which is {moving.phase}, is taken back first"
    if wanted == active.revision:
        if moving is None:
            yield f"no cutover: version {active.version} runs so already"
    elif rejected.get("revision") == wanted:
        yield f"no cutover: this revision was rolled back ({rejected.get('reason')}); `retry` tries it again"
    elif previous and previous.revision == wanted:
        yield f"a cutover back to version {previous.version}, whose pods are kept: one switch, no migration"
    else:
        is_same = version == active.version
        change = f"to other pods of version {version}" if is_same else f"from version {active.version} to {version}"
        yield f"a cutover {change}: expand migrations, pods in {_other(active.colour)}, tests, switch, monitoring"


def _other(colour: str) -> str:
    return "green" if colour == "blue" else "blue"


def _of_servers(old: TradingEngine, new: TradingEngine) -> Iterator[str]:
    for component in _SERVERS:
        mine, theirs = (asked_of_spec(one.spec, component) for one in (old, new))
        if mine != theirs or old.spec.credentials_secret_ref != new.spec.credentials_secret_ref:
            yield f"a maintenance of the {component}: a Job tries the new pod, which then replaces the present one"


def _of_pause(before: bool, after: bool) -> Iterator[str]:
    if after and not before:
        yield "the operator leaves the engine alone: all of this begins when it is resumed"
    elif before and not after:
        yield "the operator goes on with the engine"
    elif after:
        yield "the engine is paused: all of this begins when it is resumed"
