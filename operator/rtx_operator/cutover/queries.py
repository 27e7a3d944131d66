"""What each phase wants to know of the engine pods; they are left in peace while no cutover wants to know anything."""

from dataclasses import dataclass

from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import Colour, Phase
from rtx_operator.api.rollout import SmokeTest


@dataclass(frozen=True, slots=True)
class PodQueries:
    """What is to be asked, of which colours."""

    reports: frozenset[Colour] = frozenset()  # their pods say how they are
    reach: Colour | None = None  # its pods say whether they reach the other colour
    smoke: Colour | None = None  # on its own Service the smoke tests are tried
    tests: tuple[SmokeTest, ...] = ()


def queries(engine: TradingEngine) -> PodQueries:
    """The queries of the phase that the engine's cutover is in."""
    cutover = engine.status.cutover
    if cutover is None:
        return PodQueries()
    old, new = cutover.from_.colour, cutover.to.colour
    match cutover.phase:
        case Phase.TESTING:
            return PodQueries(reach=old, smoke=new, tests=tuple(engine.spec.rollout.smoke))
        case Phase.SWITCHING if cutover.fenced_at is None:  # the gates are asked again
            return PodQueries(reach=old, smoke=new, tests=tuple(engine.spec.rollout.smoke))
        case Phase.MONITORING:
            return PodQueries(reports=frozenset({old, new}))
        case Phase.ROLLING_BACK:
            return PodQueries(reports=frozenset({new}))
        case _:
            return PodQueries()
