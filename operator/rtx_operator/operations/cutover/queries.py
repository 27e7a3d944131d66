"""What each phase queries of the engine pods; they are left in peace while no phase needs an answer."""

from rtx_operator.api.spec import Rollout
from rtx_operator.api.status import Cutover
from rtx_operator.observation import PodQueries


def reach_and_smoke(rollout: Rollout, cutover: Cutover) -> PodQueries:
    """Whether the old pods reach the new ones, and the smoke tests on the new colour."""
    return PodQueries(reach=cutover.from_.colour, smoke=cutover.to.colour, tests=tuple(rollout.smoke))


def gates_until_fenced(rollout: Rollout, cutover: Cutover) -> PodQueries:
    """The same again until the fence has moved: the gates are checked again on entering Switching."""
    return reach_and_smoke(rollout, cutover) if cutover.fenced_at is None else PodQueries()


def reports_of_both(_: Rollout, cutover: Cutover) -> PodQueries:
    """Reports of the pods of both colours."""
    return PodQueries(reports=frozenset({cutover.from_.colour, cutover.to.colour}))


def reports_once_fenced(rollout: Rollout, cutover: Cutover) -> PodQueries:
    """The same, if the old colour has lost execution: otherwise nothing drains, and it serves as before."""
    return reports_of_both(rollout, cutover) if cutover.fenced_at else PodQueries()
