"""Walks a cutover of the small world of cutover_world.py to its end, and tells what was come by."""

from cutover_world import World
from rtx_operator.api.enums import CutoverPhase
from rtx_operator.operations.effects import EffectName

UNTIL_THE_SWITCH = [
    CutoverPhase.PENDING,
    CutoverPhase.MIGRATING,
    CutoverPhase.PROVISIONING,
    CutoverPhase.TESTING,
    CutoverPhase.SWITCHING,
]
WHOLE = [*UNTIL_THE_SWITCH, CutoverPhase.MONITORING, CutoverPhase.PROMOTING, CutoverPhase.SUCCEEDED]
BACK = [CutoverPhase.ROLLING_BACK, CutoverPhase.ROLLED_BACK]


def walk(world: World, looks: int = 60) -> tuple[list[CutoverPhase], list[EffectName]]:
    """(the phases that a cutover comes to, what is done on the way), until one is over."""
    phases: list[CutoverPhase] = []
    done: list[EffectName] = []
    for _ in range(looks):
        world.tick()
        decision = world.look()
        world.judge()
        for effect in decision.effects if decision else ():
            if effect.name not in done[-1:]:
                done.append(effect.name)
        if decision and isinstance(decision.entered, CutoverPhase):
            phases.append(decision.entered)
            if decision.entered.is_terminal:
                return phases, done
    return phases, done


def upgraded(world: World, version: str = "1.1.0") -> World:
    world.ask(version=version)
    assert world.run_until(CutoverPhase.SUCCEEDED)
    return world


def until_retiring(world: World) -> None:
    """The time of the kept release is over, and its retirement has begun."""
    while not world.stored.get("retirement"):
        world.tick()
        world.look()


def last(world: World) -> tuple[str, str]:
    """(how the last cutover ended, why)."""
    past = world.stored["history"][0]
    return past["result"], past["reason"]
