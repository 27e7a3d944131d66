"""What each phase queries of the engine pods; they are left in peace while no phase needs an answer."""

from rtx_operator.api.enums import Colour
from rtx_operator.api.spec import Rollout
from rtx_operator.api.status import Cutover
from rtx_operator.observation import PodQueries


def gates(rollout: Rollout, cutover: Cutover) -> PodQueries:
    """Whether the old pods reach the new ones, what these report, and the smoke tests on the new colour."""
    new = cutover.to.colour
    return PodQueries(reports=frozenset({new}), reach=cutover.from_.colour, smoke=new, tests=tuple(rollout.smoke))


def gates_until_fenced(rollout: Rollout, cutover: Cutover) -> PodQueries:
    """The same again until the fence has moved: the gates are checked again on entering Switching."""
    return gates(rollout, cutover) if cutover.fenced_at is None else PodQueries()


def monitoring(rollout: Rollout, cutover: Cutover) -> PodQueries:
    """Reports of the pods of both colours, and the smoke tests: also where there is enough traffic to judge by."""
    return PodQueries(reports=_both(cutover), smoke=cutover.to.colour, tests=tuple(rollout.smoke))


def reports_once_fenced(_: Rollout, cutover: Cutover) -> PodQueries:
    """Reports of both, if the old colour has lost execution: otherwise nothing drains, and it serves as before."""
    return PodQueries(reports=_both(cutover)) if cutover.fenced_at else PodQueries()


def _both(cutover: Cutover) -> frozenset[Colour]:
    return frozenset({cutover.from_.colour, cutover.to.colour})
