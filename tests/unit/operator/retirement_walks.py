"""Walks through a retirement in the small world, for its tests."""

from cutover_world import World
from rtx_operator.api.enums import ConditionType, RetirementPhase


def stalled(world: World) -> tuple[str, str, str]:
    """(status, reason, message) of the condition Stalled."""
    [condition] = [one for one in world.stored["conditions"] if one["type"] == ConditionType.STALLED]
    return condition["status"], condition["reason"], condition["message"]


def until(world: World, phase: RetirementPhase, reconciles: int = 40, seconds: float = 1) -> bool:
    for _ in range(reconciles):
        world.tick(seconds)
        world.reconcile()
        world.judge()
        if world.stored.get("retirement", {}).get("phase") == phase:
            return True
    return False


def hang(world: World, colour: str) -> str:
    """Keep a pod of the colour for ever, as on a lost node; returns its name."""
    name = world.colour_pods(colour)[0]
    keep(world, name)
    return name


def keep(world: World, name: str) -> None:
    """Keep the pod's object for ever, also once it is deleted."""
    ended = world.end_pods

    def all_but_one() -> None:
        kept = world.pods.get(name)
        ended()
        if kept:
            world.pods[name] = kept

    world.end_pods = all_but_one  # type: ignore[method-assign]
