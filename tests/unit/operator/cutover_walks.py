"""Runs a cutover of the simulated world of cutover_world.py to its end, and returns its phases and effects."""

from cutover_world import World
from rtx_operator.api.enums import CutoverPhase
from rtx_operator.operations.effects import EffectName

PHASES_TO_SWITCHING = [
    CutoverPhase.PENDING,
    CutoverPhase.BACKING_UP,
    CutoverPhase.MIGRATING,
    CutoverPhase.PROVISIONING,
    CutoverPhase.TESTING,
    CutoverPhase.SWITCHING,
]
UPGRADE_PHASES = [*PHASES_TO_SWITCHING, CutoverPhase.MONITORING, CutoverPhase.PROMOTING, CutoverPhase.SUCCEEDED]
ROLLBACK_PHASES = [CutoverPhase.ROLLING_BACK, CutoverPhase.ROLLED_BACK]


def walk(world: World, reconciles: int = 60) -> tuple[list[CutoverPhase], list[EffectName]]:
    """(phases entered, effects performed) until a cutover is over, or after so many reconciles."""
    phases: list[CutoverPhase] = []
    performed: list[EffectName] = []
    for _ in range(reconciles):
        world.tick()
        decision = world.reconcile()
        world.judge()
        for effect in decision.effects if decision else ():
            if effect.name not in performed[-1:]:
                performed.append(effect.name)
        if decision and isinstance(decision.entered, CutoverPhase):
            phases.append(decision.entered)
            if decision.entered.is_terminal:
                return phases, performed
    return phases, performed


def reconciled(world: World, times: int = 30, seconds: float = 1) -> None:
    """Let cluster and operator act so many times, with so many seconds between."""
    for _ in range(times):
        world.tick(seconds)
        world.reconcile()
        world.judge()


def upgraded(world: World, version: str = "1.1.0") -> World:
    """The world after a successful cutover to `version`."""
    world.set_spec(version=version)
    assert world.run_until(CutoverPhase.SUCCEEDED)
    return world


def until_retiring(world: World) -> None:
    """Reconcile until the retirement of the previous release has begun."""
    while not world.stored.get("retirement"):
        world.tick()
        world.reconcile()


def lose(world: World, colour: str, version: str) -> None:
    """All pods of the colour end, and those that take their place do not get ready."""
    world.faults.add(f"unready:{version}")
    for pod in world.colour_pods(colour):
        world.crash(pod)


def last_result(world: World) -> tuple[str, str]:
    """(result, reason) of the last cutover in the history."""
    past = world.stored["history"][0]
    return past["result"], past["reason"]


def executors(world: World) -> tuple[str, ...]:
    assert world.fence
    return world.fence.executors
