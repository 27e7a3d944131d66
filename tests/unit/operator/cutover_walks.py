"""Walks a cutover of the small world of cutover_world.py to its end, and tells what was come by."""

from cutover_world import World
from rtx_operator.api.enums import Phase
from rtx_operator.cutover.effects import EffectName

UNTIL_THE_SWITCH = [Phase.PENDING, Phase.MIGRATING, Phase.PROVISIONING, Phase.TESTING, Phase.SWITCHING]
WHOLE = [*UNTIL_THE_SWITCH, Phase.MONITORING, Phase.PROMOTING, Phase.SUCCEEDED]
BACK = [Phase.ROLLING_BACK, Phase.ROLLED_BACK]


def walk(world: World, looks: int = 60) -> tuple[list[Phase], list[EffectName]]:
    """(the phases that a cutover comes to, what is done on the way), until one is over."""
    phases: list[Phase] = []
    done: list[EffectName] = []
    for _ in range(looks):
        world.tick()
        decision = world.look()
        world.judge()
        for effect in decision.effects if decision else ():
            if effect.name not in done[-1:]:
                done.append(effect.name)
        if decision and decision.entered:
            phases.append(decision.entered)
            if decision.entered.is_terminal:
                return phases, done
    return phases, done


def upgraded(world: World, version: str = "1.1.0") -> World:
    world.ask(version=version)
    assert world.run_until(Phase.SUCCEEDED)
    return world


def last(world: World) -> tuple[str, str]:
    """(how the last cutover ended, why)."""
    past = world.stored["history"][0]
    return past["result"], past["reason"]
