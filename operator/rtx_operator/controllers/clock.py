"""The operator's own clock: every duration is measured by it.

The clocks of API servers, nodes and databases may differ from it by minutes, and it may itself be set. So no time that
another has stamped is compared with it: what others stamp counts from when this operator first observed it.
"""

import math
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from rtx_operator.observation import Object, Observation, is_recent

MAX_STEP_SECONDS = 5.0  # a wall clock that runs by more than this otherwise than the monotonic one was set


@dataclass(slots=True)
class _Engine:
    observed: float  # the last whole observation, in monotonic seconds
    now: datetime  # the same by the wall clock
    ending: dict[str, datetime] = field(default_factory=dict)  # uids of pods that end, and when that was first observed


@dataclass(slots=True)
class ObservationClock:
    """What this process knows of each engine's time; another leader begins anew."""

    _engines: dict[Hashable, _Engine] = field(default_factory=dict)

    def timed(self, key: Hashable, seen: Observation, now: datetime, monotonic: float) -> Observation:
        """The observation made at `now`, in which all times are by this operator's clock.

        It says whether there was a gap before it. A clock that was set is a gap: how long it was since the last
        observation is not known then.
        """
        last = self._engines.get(key)
        ending = {pod["metadata"].get("uid", ""): now for pod in seen.pods if _is_ending(pod)}
        if last:
            ending |= {uid: last.ending[uid] for uid in ending if uid in last.ending}
        if last is None or seen.is_whole:
            self._engines[key] = _Engine(monotonic if seen.is_whole else -math.inf, now, ending)
        else:
            last.ending = ending
        pods = tuple(_by_own_clock(pod, ending) if _is_ending(pod) else pod for pod in seen.pods)
        return replace(seen, pods=pods, observed_recently=last is not None and _is_recent(last, now, monotonic))

    def forget(self, key: Hashable) -> None:
        """Drop what is known of an engine that is gone."""
        self._engines.pop(key, None)


def _is_recent(last: _Engine, now: datetime, monotonic: float) -> bool:
    elapsed = monotonic - last.observed
    step = (now - last.now).total_seconds() - elapsed
    return is_recent(elapsed) and abs(step) < MAX_STEP_SECONDS


def _is_ending(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _by_own_clock(pod: Object, ending: dict[str, datetime]) -> Object:
    """The pod with its deletionTimestamp, until which it has time to end, counted from when it was seen to end."""
    metadata = pod["metadata"]
    grace = timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0)
    until = ending[metadata.get("uid", "")] + grace
    return {**pod, "metadata": {**metadata, "deletionTimestamp": until.isoformat()}}
