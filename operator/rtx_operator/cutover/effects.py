"""What a cutover does, as data. Each is idempotent: done twice it is done once."""

from dataclasses import dataclass
from enum import StrEnum

from rtx_operator.observation import Object


class EffectName(StrEnum):
    """Names an effect: in the log, in the crash hook, in the kill table."""

    MIGRATE = "Migrate"  # the Job of the new image that runs its expand migrations
    PROVISION = "Provision"  # the colour's objects
    RESIZE = "Resize"  # the colour as large as it has to be
    MOVE_FENCE = "MoveFence"  # another colour executes
    SELECT = "Select"  # the live Service selects another colour
    DRAIN = "Drain"  # the pods of the colour that lost close their WebSockets
    PROMOTE = "Promote"  # autoscaler and disruption budget follow
    EMPTY = "Empty"  # no pod of a colour that is of no use any more
    REVERSE = "Reverse"  # the Job that takes the expand migrations back
    CONTRACT = "Contract"  # the Job that runs the contract migrations


# The switch waits for these: what they did is looked at in the same breath.
URGENT = frozenset({EffectName.MOVE_FENCE, EffectName.SELECT})


@dataclass(frozen=True, slots=True)
class Apply:
    """Apply these objects. `guarded`: only as long as they are what was seen, so that a paused ex-leader gets a 409."""

    name: EffectName
    objects: tuple[Object, ...]
    guarded: bool = False


@dataclass(frozen=True, slots=True)
class Scale:
    """Set the size of a Deployment that was just seen; it fails if the Deployment has changed since."""

    name: EffectName
    deployment: Object
    replicas: int


@dataclass(frozen=True, slots=True)
class MoveFence:
    """Make the fence name `executors`, above `known_epoch`, if it is still at `expected_epoch` (None: none there)."""

    executors: tuple[str, ...]
    known_epoch: int
    expected_epoch: int | None
    cutover: str
    name: EffectName = EffectName.MOVE_FENCE


@dataclass(frozen=True, slots=True)
class Drain:
    """Tell pods that lost execution at `epoch` to close their WebSockets, spread over `seconds`."""

    pods: tuple[Object, ...]
    epoch: int
    seconds: float
    name: EffectName = EffectName.DRAIN


Effect = Apply | Scale | MoveFence | Drain


def next_size(ready: int, needed: int) -> int:
    """How large a colour that comes up is next: one pod, and then twice those that are ready.

    A version that does not start is found out by one pod, and pods that start leave CPU to those that serve.
    """
    return min(needed, max(1, 2 * ready))
