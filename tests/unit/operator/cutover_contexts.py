"""Situations of a cutover for the tests of its checks, and ways to change what is seen in them.

They come from the small world of cutover_world.py, at the look at which all checks of a phase are passed.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from cutover_world import World, copied, installed
from rtx_operator.api.enums import CutoverPhase
from rtx_operator.observation import FenceReport, Object
from rtx_operator.operations.cutover.context import CutoverContext
from rtx_operator.operations.cutover.phases import PHASES
from rtx_operator.results import Unmet, Waiting, worst_unmet

INSTALLED = installed()
BACK_AGAIN = ("errors:1.1.0",)  # it goes back after the fence has moved
UNTESTED = ("smoke:1.1.0",)  # it goes back before


def context(world: World) -> CutoverContext:
    intent = world.intend()
    assert intent.engine.status.cutover
    return CutoverContext(intent.engine, intent.desired, intent.seen, intent.engine.status.cutover, intent.now)


def at_the_end_of(phase: CutoverPhase, world: World) -> CutoverContext:
    """The look at which all that the phase waits for is seen."""
    for _ in range(60):
        world.tick()
        if world.phase is phase and worst_unmet(context(world), PHASES[phase].checks) is None:
            return context(world)
        world.look()
    raise AssertionError(f"{phase} is never over; {world.phase}: {world.stored['cutover']['message']}")


@functools.cache
def passing(phase: CutoverPhase, *faults: str) -> CutoverContext:
    world = copied(INSTALLED)
    world.faults.update(faults)
    world.ask(version="1.1.0")
    return at_the_end_of(phase, world)


def seeing(given: CutoverContext, **seen: Any) -> CutoverContext:
    return replace(given, seen=replace(given.seen, **seen))


def with_child(given: CutoverContext, changed: Object) -> CutoverContext:
    key = (changed["kind"], changed["metadata"]["name"])
    return seeing(given, children={**given.seen.children, key: changed})


def with_reports(given: CutoverContext, **changes: Any) -> CutoverContext:
    """Each pod that answers says so, too."""
    engines = {name: replace(report, **changes) for name, report in given.seen.engines.items()}  # type: ignore[type-var]
    return seeing(given, engines=engines)


def with_status(given: CutoverContext, name: str, **status: Any) -> CutoverContext:
    """One pod's status is another."""
    pods = [{**pod, "status": status} if pod["metadata"]["name"] == name else pod for pod in given.seen.pods]
    return seeing(given, pods=tuple(pods))


def new_pod(given: CutoverContext) -> str:
    return str(given.ready_pods(given.new)[0]["metadata"]["name"])


def waits(said: Unmet | None) -> bool:
    return isinstance(said, Waiting)


def drains_no_longer_than_it_takes(given: CutoverContext) -> CutoverContext:
    """At the first instant of the time to drain, which otherwise ends it."""
    cutover = given.cutover.model_copy(update={"switched_at": given.now, "restored_at": None})
    return replace(given, cutover=cutover)


IGNORANCE: Mapping[str, Callable[[CutoverContext], CutoverContext]] = {
    "the database was not asked": lambda given: seeing(given, database=None),
    "the database gave no answer": lambda given: seeing(given, database=FenceReport(error="connection refused")),
    "the database has no fence": lambda given: seeing(given, database=FenceReport()),
    "pods were not asked": lambda given: seeing(given, engines={}),
    "pods gave no answer": lambda given: seeing(given, engines=dict.fromkeys(given.seen.engines, "no answer")),
    "reach was not asked": lambda given: seeing(given, reach={}),
    "reach gave no answer": lambda given: seeing(given, reach=dict.fromkeys(given.seen.reach, "no answer")),
    "smoke was not tried": lambda given: seeing(given, smoke=()),
    "no children": lambda given: seeing(given, children={}),
    "no pods": lambda given: seeing(given, pods=()),
    "no slices": lambda given: seeing(given, endpoint_slices=()),
}
