"""Effects: what a decision does, as data. Each is idempotent: done twice it is done once. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from rtx_operator.observation import Object, Observation


class EffectName(StrEnum):
    """Names an effect: in the log, in the crash hook, in the kill table."""

    REPAIR = "Repair"  # the objects that are desired whatever operation runs
    PRUNE = "Prune"  # our objects that are desired no longer
    BACK_UP = "BackUp"  # the backup that comes before an upgrade
    MIGRATE = "Migrate"  # the Job of the new image that runs its expand migrations
    PROVISION = "Provision"  # the new colour's objects
    RESIZE = "Resize"  # the size of a colour, within its bounds
    MOVE_FENCE = "MoveFence"  # another colour executes
    UPDATE_FENCE = "UpdateFence"  # the fence's functions become those of this release
    SELECT = "Select"  # the live Service selects another colour
    DRAIN = "Drain"  # the pods of a colour that lost execution close their WebSockets
    AUTOSCALE = "Autoscale"  # the autoscaler scales the colour that executes
    EMPTY = "Empty"  # no pod of a colour that is needed no longer
    REVERSE = "Reverse"  # the Job that takes the expand migrations back
    CONTRACT = "Contract"  # the Job that runs the contract migrations
    CHECK = "Check"  # the Job that tries the image and the place of a new database or cache pod
    RESTART = "Restart"  # database or cache with its new pod
    RESTORE = "Restore"  # database or cache with a pod as before
    REPLACE = "Replace"  # a pod of database or cache is evicted, to be made anew
    CHECK_SOURCE = "CheckSource"  # the Job that checks what is to be restored
    SWITCH_LOG = "SwitchLog"  # the database's log up to now goes to the repository
    RESTORE_DATA = "RestoreData"  # the Job that restores beside the database's data
    SWAP_DATA = "SwapData"  # the Jobs by which restored data take the place of the database's
    BRING_BACK_DATA = "BringBackData"  # the Jobs that take that back
    FORGET_CLUSTER = "ForgetCluster"  # what Patroni's ConfigMaps say of data that are replaced
    SWITCH_OVER = "SwitchOver"  # another server of the database leads
    KEEP_DATA = "KeepData"  # what holds data no longer goes when the engine is deleted


# The switch waits for these: their result is observed at once.
URGENT = frozenset({EffectName.MOVE_FENCE, EffectName.SELECT})


@dataclass(frozen=True, slots=True)
class Apply:
    """Apply these objects. `guarded`: only while they are as observed, so that a paused ex-leader gets a 409."""

    name: EffectName
    objects: tuple[Object, ...]
    guarded: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete these objects, unless others of their names have replaced them."""

    name: EffectName
    objects: tuple[Object, ...]


@dataclass(frozen=True, slots=True)
class Evict:
    """Evict these pods, as far as disruption budgets allow; the controller of their StatefulSet makes others."""

    pods: tuple[Object, ...]
    name: EffectName = EffectName.REPLACE


@dataclass(frozen=True, slots=True)
class Scale:
    """Set the size of a Deployment as it was observed; it fails (409) if the Deployment has changed since.

    `why` is emitted as an Event. Empty: the size is part of an operation, which has Events of its own.
    """

    name: EffectName
    deployment: Object
    replicas: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class MoveFence:
    """Make the fence name `executors`, in these `revisions` (None: any), above `known_epoch`.

    Only if it is still at `expected_epoch` (None: none there).
    """

    executors: tuple[str, ...]
    revisions: tuple[str, ...] | None
    known_epoch: int
    expected_epoch: int | None
    cutover: str
    name: EffectName = EffectName.MOVE_FENCE


@dataclass(frozen=True, slots=True)
class UpdateFence:
    """Bring the fence's schema up to date; no order waits for it, and what fails is tried again."""

    name: EffectName = EffectName.UPDATE_FENCE


@dataclass(frozen=True, slots=True)
class Drain:
    """Have pods that lost execution at `epoch` close their WebSockets, spread over `seconds`."""

    pods: tuple[Object, ...]
    epoch: int
    seconds: float
    name: EffectName = EffectName.DRAIN


@dataclass(frozen=True, slots=True)
class SwitchOver:
    """Ask Patroni to have `candidate` lead instead of `leader`; Patroni ignores it once another one leads.

    `config_map` is the name of the ConfigMap by which it is asked, which its servers have made.
    """

    leader: str
    candidate: str
    config_map: str
    name: EffectName = EffectName.SWITCH_OVER


@dataclass(frozen=True, slots=True)
class SwitchLog:
    """Have the database send its log up to now to the repository, with a commit at its end.

    What fails is tried again, or done by the database itself within a minute.
    """

    name: EffectName = EffectName.SWITCH_LOG


@dataclass(frozen=True, slots=True)
class ForgetCluster:
    """Take from Patroni's ConfigMaps, of these names, what they say of the cluster's data; its servers have ended."""

    config_maps: tuple[str, ...]
    name: EffectName = EffectName.FORGET_CLUSTER


@dataclass(frozen=True, slots=True)
class KeepData:
    """Have these Secrets and StatefulSets, with their volumes, survive the TradingEngine; nothing else changes."""

    objects: tuple[Object, ...]
    name: EffectName = EffectName.KEEP_DATA


Effect = (
    Apply | Delete | Evict | Scale | MoveFence | UpdateFence | Drain | SwitchOver | SwitchLog | ForgetCluster | KeepData
)


def objects_of(effect: Apply, seen: Observation) -> tuple[Object, ...]:
    """The objects to apply; guarded ones carry the resourceVersion at which they were observed, if they exist."""
    return tuple(_guarded(wanted, seen) for wanted in effect.objects) if effect.guarded else effect.objects


def _guarded(wanted: Object, seen: Observation) -> Object:
    live = seen.child(wanted["kind"], wanted["metadata"]["name"])
    if live is None:
        return wanted
    metadata = {**wanted["metadata"], "resourceVersion": live["metadata"]["resourceVersion"]}
    return {**wanted, "metadata": metadata}


def next_size(ready: int, needed: int) -> int:
    """The next size of a colour that comes up, in pods: one, and then twice those that are ready.

    A version that does not start is found out by one pod, and pods that start leave CPU to those that serve.
    """
    return min(needed, max(1, 2 * ready))
