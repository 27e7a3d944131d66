"""Contexts of a cutover for the tests of its checks, and functions that change their observation.

The contexts come from the simulated world of cutover_world.py, at the end of a phase: all its checks pass.
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
FAILS_AFTER_FENCE_MOVE = ("errors:1.1.0",)  # faults that cause a rollback after the fence has moved
FAILS_BEFORE_FENCE_MOVE = ("smoke:1.1.0",)  # faults that cause a rollback before


def context(world: World) -> CutoverContext:
    intent = world.intend()
    assert intent.engine.status.cutover
    return CutoverContext(intent.engine, intent.desired, intent.observation, intent.engine.status.cutover, intent.now)


def end_of_phase(phase: CutoverPhase, world: World) -> CutoverContext:
    """The context of the first reconcile at which all checks of the phase pass."""
    for _ in range(60):
        world.tick()
        if world.phase is phase and worst_unmet(context(world), PHASES[phase].checks) is None:
            return context(world)
        world.reconcile()
    raise AssertionError(f"the checks of {phase} never pass; {world.phase}: {world.stored['cutover']['message']}")


@functools.cache
def passing(phase: CutoverPhase, *faults: str) -> CutoverContext:
    """The context at the end of the phase in a cutover to 1.1.0 with these faults."""
    world = copied(INSTALLED)
    world.faults.update(faults)
    world.set_spec(version="1.1.0")
    return end_of_phase(phase, world)


def with_observed(given: CutoverContext, **fields: Any) -> CutoverContext:
    """The context with other fields of its observation."""
    return replace(given, seen=replace(given.seen, **fields))


def with_child(given: CutoverContext, changed: Object) -> CutoverContext:
    key = (changed["kind"], changed["metadata"]["name"])
    return with_observed(given, children={**given.seen.children, key: changed})


def with_reports(given: CutoverContext, **changes: Any) -> CutoverContext:
    """The context with these fields in each pod's report."""
    engines = {name: replace(report, **changes) for name, report in given.seen.engines.items()}  # type: ignore[type-var]
    return with_observed(given, engines=engines)


def with_status(given: CutoverContext, name: str, **status: Any) -> CutoverContext:
    """The context with another status of the pod `name`."""
    pods = [{**pod, "status": status} if pod["metadata"]["name"] == name else pod for pod in given.seen.pods]
    return with_observed(given, pods=tuple(pods))


def new_pod(given: CutoverContext) -> str:
    return str(given.ready_pods(given.new)[0]["metadata"]["name"])


def is_waiting(unmet: Unmet | None) -> bool:
    return isinstance(unmet, Waiting)


def at_drain_start(given: CutoverContext) -> CutoverContext:
    """The context at the start of the drain timeout, whose end would pass the check."""
    cutover = given.cutover.model_copy(update={"drain_until": given.now + given.drain_timeout})
    return replace(given, cutover=cutover)


MISSING: Mapping[str, Callable[[CutoverContext], CutoverContext]] = {
    "the database was not queried": lambda given: with_observed(given, database=None),
    "the database did not respond": lambda given: with_observed(
        given, database=FenceReport(error="connection refused")
    ),
    "the database has no fence": lambda given: with_observed(given, database=FenceReport()),
    "pods were not queried": lambda given: with_observed(given, engines={}),
    "pods did not respond": lambda given: with_observed(
        given, engines=dict.fromkeys(given.seen.engines, "no response")
    ),
    "reach was not queried": lambda given: with_observed(given, reach={}),
    "reach did not respond": lambda given: with_observed(given, reach=dict.fromkeys(given.seen.reach, "no response")),
    "smoke was not run": lambda given: with_observed(given, smoke=()),
    "slots were not counted": lambda given: with_observed(given, cutover_slot=False),
    "no backups": lambda given: with_observed(
        given, children={key: one for key, one in given.seen.children.items() if key[0] != "TradingEngineBackup"}
    ),
    "no children": lambda given: with_observed(given, children={}),
    "no pods": lambda given: with_observed(given, pods=()),
    "no slices": lambda given: with_observed(given, endpoint_slices=()),
}
