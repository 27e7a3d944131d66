"""Which revision spec asks for, also where a later release of the operator recorded fields that this one does not know.

Such a field counts as the record has it, as long as spec has it so, too: then spec asks for what is recorded. When it
asks for anything else, this release cannot make it without losing the field (ADR 0032).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from rtx_operator.api.engine import OperatorTooOldError, TradingEngine
from rtx_operator.api.enums import Component
from rtx_operator.api.spec import TradingEngineSpec
from rtx_operator.api.status import Release
from rtx_operator.desired.engine.running import refresh_of
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.record import Record, recorded
from rtx_operator.desired.render import Object
from rtx_operator.desired.revision import RevisionSpec, pod_inputs, revision_spec
from rtx_operator.desired.state import DesiredServer
from rtx_operator.observation import Observation, revision_of

Path = tuple[str, ...]


def wanted_revision(engine: TradingEngine, inputs: BuildInput, seen: Observation) -> RevisionSpec:
    """The revision that spec asks for. Raises OperatorTooOldError."""
    records = list(_records(engine, inputs, seen))
    known = {record.revision: _known(record.inputs) for record in records}
    unknown = {record.revision: _unknown(record, known[record.revision]) for record in records}
    lost = _lost_records(engine, inputs, seen)
    for refresh in _refreshes(engine, records, lost):
        wanted = revision_spec(inputs, refresh)
        if wanted.hash in {*lost, *known}:  # a record that was made again may lack what spec asked for then
            return wanted
        for record in records:
            is_asked_for = wanted.inputs == known[record.revision] and _has(engine.given, unknown[record.revision])
            if record.refresh == refresh and is_asked_for:
                return replace(wanted, inputs=dict(record.inputs))
    if unread := [path for paths in unknown.values() for path in paths]:
        raise _too_old(engine, unread[0])
    return wanted


def _refreshes(engine: TradingEngine, records: Sequence[Record], lost: Mapping[str, str]) -> Sequence[str]:
    """The values of the refresh annotation to look for among the records, and then to make a revision with.

    Without the annotation, spec asks for a release without one where there is such a one, else for the one that was
    made first: a refresh is taken back so. A record that is lost counts as the last one. Otherwise an annotation that
    is gone asks for nothing: the active release's value stays.
    """
    if engine.refresh:
        return (engine.refresh,)
    from_the_first = (record.refresh for record in sorted(records, key=lambda record: record.made))
    active = engine.status.active.revision if engine.status.active else ""
    kept = lost.get(active, records[0].refresh if records else "")
    return ("", *from_the_first, *lost.values(), kept)


def refuse_unknown_server(engine: TradingEngine, servers: Iterable[DesiredServer]) -> None:
    """Raises OperatorTooOldError for a server that is to be made anew, from fields that this release does not know.

    Its record has only a hash of what was asked for: whether that has changed, or is not understood, cannot be told.
    """
    specs = {Component.DATABASE: engine.spec.database, Component.CACHE: engine.spec.cache}
    for server in servers:
        made = getattr(engine.status, server.component)
        if made and server.asked.differs_from(made.asked):
            known = specs[Component(server.component)].model_dump(mode="json", by_alias=True)
            given = engine.given.get(server.component) or {}
            unread = [path for path, _ in _lost(given, known, (server.component,)) if _at(known, path[1:]) is None]
            if unread:
                raise _too_old(engine, unread[0])


def _too_old(engine: TradingEngine, path: Path) -> OperatorTooOldError:
    return OperatorTooOldError(f"{'.'.join(('spec', *path))} is {str(_at(engine.given, path))[:100]}")


def _records(engine: TradingEngine, inputs: BuildInput, seen: Observation) -> Iterator[Record]:
    """The records of what runs, of what a cutover goes to, and of what is kept, those that there are."""
    for release in _releases(engine):
        if record := recorded(inputs.names, seen, release.colour, release.revision):
            yield record


def _lost_records(engine: TradingEngine, inputs: BuildInput, seen: Observation) -> dict[str, str]:
    """The releases whose Deployment is there and whose record is not: refresh by revision."""
    found: dict[str, str] = {}
    for release in _releases(engine):
        deployment = seen.child("Deployment", inputs.names.colour(release.colour))
        is_there = deployment is not None and revision_of(deployment) == release.revision
        if deployment and is_there and recorded(inputs.names, seen, release.colour, release.revision) is None:
            found[release.revision] = refresh_of(deployment)
    return found


def _releases(engine: TradingEngine) -> Iterator[Release]:
    """What runs, what a cutover goes to, and what is kept."""
    status = engine.status
    target = status.cutover.to if status.cutover and not status.cutover.phase.is_terminal else None
    yield from filter(None, (status.active, target, status.previous))


def _has(spec: Mapping[str, Any], values: Mapping[Path, Any]) -> bool:
    return all(_at(spec, path) == value for path, value in values.items())


def _unknown(record: Record, known: Object) -> dict[Path, Any]:
    """The recorded values that this release does not read, by their path in spec."""
    return dict(_lost(record.inputs, known, ()))


def _known(inputs: Mapping[str, Any]) -> Object:
    """The part of recorded inputs that this release reads; none of it where a value is none that it knows."""
    try:
        return pod_inputs(TradingEngineSpec.model_validate(inputs))
    except ValidationError:
        return {}


def _lost(given: Mapping[str, Any], kept: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, Any]]:
    for name, value in given.items():
        left = kept.get(name)
        if isinstance(value, dict) and isinstance(left, dict):
            yield from _lost(value, left, (*path, name))
        elif name not in kept or value != left:
            yield (*path, name), value


def _at(spec: Mapping[str, Any], path: Path) -> Any:
    """The value at a path of spec; None where there is none."""
    value: Any = spec
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value
