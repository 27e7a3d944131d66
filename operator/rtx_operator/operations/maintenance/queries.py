"""What each phase has read besides; nothing is asked of the engine pods."""

from rtx_operator.api.spec import Rollout
from rtx_operator.api.status import Maintenance
from rtx_operator.observation import PodQueries


def volume(_: Rollout, maintenance: Maintenance) -> PodQueries:
    """Where the server's volume can be."""
    return PodQueries(volume_of=maintenance.component)
