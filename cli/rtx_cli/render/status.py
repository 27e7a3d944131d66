"""The tree of one engine, and the table of several."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from rtx_operator.api.enums import Colour, Component, ConditionType, CutoverPhase, OperationName
from rtx_operator.api.names import Names

from rtx_cli.decide.children import Children, Pod, Workload
from rtx_cli.decide.engine import Condition, Engine, Object, Operation, Release
from rtx_cli.render.text import Cell, Look, Node, Style, ago, clock, node, span, table, tree

_GOOD_WHEN_TRUE = {ConditionType.READY, ConditionType.UP_TO_DATE}
_BAD_WHEN_TRUE = {ConditionType.STALLED, ConditionType.DISPUTED}
_WENT_WRONG = {CutoverPhase.ROLLED_BACK, CutoverPhase.FAILED, CutoverPhase.ROLLING_BACK}


def engine_tree(engine: Engine, children: Children, now: datetime, look: Look, *, wide: bool = False) -> list[str]:
    """The lines of an engine's tree; `wide` adds images and the nodes of pods."""
    parts = [
        *_colours(engine, children, now, wide=wide),
        *_servers(engine, children, now, wide=wide),
        *_autoscaler(engine, children),
        *(_operation(one, now) for one in engine.operations),
    ]
    if engine.conditions:
        parts.append(node("conditions", children=[_condition(one, now) for one in engine.conditions.values()]))
    if children.unreadable:
        parts.append(node("not shown", f"you may not list {', '.join(children.unreadable)}"))
    return tree(Node((Cell(f"{engine.namespace}/{engine.name}", Style.STRONG), *_headline(engine)), tuple(parts)), look)


def engines_table(engines: Sequence[Engine], now: datetime, look: Look, *, wide: bool = False) -> list[str]:
    """One line for each engine."""
    heads = ["NAMESPACE", "NAME", "VERSION", "COLOUR", "PODS", "READY", "OPERATION", "AGE"]
    rows = [_row(engine, now) for engine in engines]
    if wide:
        heads = [*heads, "MESSAGE"]
        rows = [[*row, _what_matters(engine)] for row, engine in zip(rows, engines, strict=True)]
    return table(heads, rows, look)


def _row(engine: Engine, now: datetime) -> list[str | Cell]:
    ready, moving, active = engine.condition(ConditionType.READY), engine.under_way, engine.active
    operations = ", ".join(f"{one.kind.lower()} {one.phase}" for one in moving)
    if not operations and (stalled := engine.condition(ConditionType.STALLED)) and stalled.holds:
        operations = stalled.reason
    return [
        engine.namespace,
        engine.name,
        active.version if active else "",
        active.colour if active else "",
        engine.pods,
        Cell(ready.status if ready else "Unknown", Style.GOOD if ready and ready.holds else Style.BAD),
        "paused" if engine.paused else operations,
        ago(engine.created, now),
    ]


def _what_matters(engine: Engine) -> str:
    """The message of the first condition that is not as it should be, else of Ready."""
    kinds = (ConditionType.STALLED, ConditionType.RECONCILING, ConditionType.READY)
    found = [condition for kind in kinds if (condition := engine.condition(kind))]
    return next((one.message for one in found if one.holds), found[-1].message if found else "")


def _headline(engine: Engine) -> Iterator[Cell]:
    ready = engine.condition(ConditionType.READY)
    if engine.paused:
        yield Cell("paused", Style.MOVING)
    if engine.active:
        yield Cell(f"version {engine.active.version} in {engine.active.colour}")
    yield Cell("Ready" if ready and ready.holds else "not ready", Style.GOOD if ready and ready.holds else Style.BAD)
    if engine.observed_generation < engine.generation:
        yield Cell("the operator has not seen the newest spec yet", Style.MOVING)


def _colours(engine: Engine, children: Children, now: datetime, *, wide: bool) -> Iterator[Node]:
    for colour in Colour:
        workload, pods = children.colour(engine.name, colour), children.pods(Component.ENGINE, colour)
        release = _release(engine, colour)
        if workload is None and not pods:
            continue
        if release is None and not (pods or (workload and workload.wanted)):
            continue
        yield node(
            "engine",
            colour.value,
            _size(workload),
            _role(engine, colour, release, now),
            *([workload.image] if wide and workload else []),
            children=[_pod(pod, now, wide=wide) for pod in pods],
        )


def _release(engine: Engine, colour: Colour) -> Release | Operation | None:
    cutover = engine.cutover
    if engine.active and engine.active.colour == colour:
        return engine.active
    if cutover and not cutover.is_over and cutover.target_colour == colour:
        return cutover
    return engine.previous if engine.previous and engine.previous.colour == colour else None


def _role(engine: Engine, colour: Colour, release: Release | Operation | None, now: datetime) -> Cell:
    if isinstance(release, Operation):
        return Cell(f"version {release.target}, which the cutover makes active", Style.MOVING)
    if release is None and engine.active is None:
        return Cell(f"version {engine.version}, being installed", Style.MOVING)
    if release is None:
        return Cell("no release", Style.FAINT)
    if engine.active and engine.active.colour == colour:
        return Cell(f"version {release.version}, active, epoch {release.epoch}", Style.GOOD)
    until = release.retire_after
    left = f" for {span(until - now)}" if until and until > now else ""
    return Cell(f"version {release.version}, kept{left}{f': {release.message}' if release.message else ''}")


def _size(workload: Workload | None) -> Cell:
    if workload is None:
        return Cell("none", Style.BAD)
    is_whole = workload.ready >= workload.wanted
    return Cell(f"{workload.ready}/{workload.wanted} ready", Style.GOOD if is_whole else Style.MOVING)


def _pod(pod: Pod, now: datetime, *, wide: bool) -> Node:
    is_moving = pod.is_ending or not (pod.is_ready or pod.problem)
    style = Style.MOVING if is_moving else Style.GOOD if pod.is_ready else Style.BAD
    restarts = f"{pod.restarts} restarts" if pod.restarts != 1 else "1 restart"
    cells: list[str | Cell] = [
        pod.name,
        Cell(pod.state, style),
        ago(pod.created, now),
        Cell(restarts if pod.restarts else "", Style.MOVING),
    ]
    return node(*cells, *([pod.node] if wide else []), Cell(pod.detail, Style.FAINT))


def _servers(engine: Engine, children: Children, now: datetime, *, wide: bool) -> Iterator[Node]:
    names = Names(engine.name)
    for component in (Component.DATABASE, Component.CACHE):
        workload = children.server(engine.name, component)
        claim = children.find("PersistentVolumeClaim", names.claim(component))
        if workload is None and claim is None:
            continue
        yield node(
            component.value,
            names.server(component),
            _size(workload),
            _volume(claim),
            *([workload.image] if wide and workload else []),
            children=[_pod(pod, now, wide=wide) for pod in children.pods(component)],
        )


def _volume(claim: Object | None) -> str:
    if claim is None:
        return ""
    size = (claim["spec"].get("resources") or {}).get("requests", {}).get("storage", "")
    return f"volume {size} {(claim.get('status') or {}).get('phase', 'Pending').lower()}"


def _autoscaler(engine: Engine, children: Children) -> Iterator[Node]:
    found = children.find("HorizontalPodAutoscaler", Names(engine.name).autoscaler)
    if found is None:
        return
    spec, status = found.get("spec") or {}, found.get("status") or {}
    bounds = f"{spec.get('minReplicas', 1)} to {spec.get('maxReplicas', '?')} pods"
    yield node(
        "autoscaler", bounds, f"{status.get('currentReplicas', 0)} now, {status.get('desiredReplicas', 0)} wanted"
    )


def _operation(operation: Operation, now: datetime) -> Node:
    over = operation.is_over
    style = Style.BAD if operation.phase in _WENT_WRONG else Style.GOOD if over else Style.MOVING
    why = f"{operation.message} ({operation.reason})" if operation.reason else operation.message
    took = f"{sum(operation.seconds.values()):.1f} s" if over else f"since {ago(operation.since, now)}"
    steps = [node(phase, f"{seconds:.1f} s") for phase, seconds in operation.seconds.items()]
    if operation.kind is OperationName.CUTOVER and operation.fenced and operation.switched:
        switch = (operation.switched - operation.fenced).total_seconds()
        steps.append(node("switch", f"{switch:.3f} s from the fence's move to the last endpoint"))
    if not over:
        limit = f", at most until {clock(operation.deadline)}" if operation.deadline else ""
        steps.append(
            node(Cell(operation.phase, Style.MOVING), Cell(f"{ago(operation.since, now)}{limit}", Style.MOVING))
        )
    return node(operation.kind.lower(), operation.title, Cell(operation.phase, style), took, why, children=steps)


def _condition(condition: Condition, now: datetime) -> Node:
    kind = condition.type
    is_bad = (kind in _GOOD_WHEN_TRUE and not condition.holds) or (kind in _BAD_WHEN_TRUE and condition.holds)
    is_good = kind in _GOOD_WHEN_TRUE and condition.holds
    style = Style.BAD if is_bad else Style.GOOD if is_good else Style.PLAIN
    return node(kind, Cell(condition.status, style), condition.reason, ago(condition.since, now), condition.message)
