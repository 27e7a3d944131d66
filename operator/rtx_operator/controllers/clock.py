"""The operator's own clock: every duration is measured by it.

The clocks of API servers, nodes and databases may differ from it by minutes, and it may itself be set. So no time that
another has stamped is compared with it: what others stamp counts from when this operator first observed it.
"""

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from rtx_operator.observation import Object, Observation, is_recent

MAX_STEP_SECONDS = 5.0  # a wall clock that runs by more than this otherwise than the monotonic one was set


@dataclass(slots=True)
class _Engine:
    observed: float  # the last whole observation, in monotonic seconds
    now: datetime  # the same by the wall clock
    # When each pod, by its uid, was first observed, and when it was first observed to end.
    made: dict[str, datetime] = field(default_factory=dict)
    ending: dict[str, datetime] = field(default_factory=dict)


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
        made = _since(seen.pods, last.made if last else {}, now)
        ending = _since(filter(_is_ending, seen.pods), last.ending if last else {}, now)
        if last is None or seen.is_whole:
            self._engines[key] = _Engine(monotonic if seen.is_whole else -math.inf, now, made, ending)
        else:
            last.made, last.ending = made, ending
        pods = tuple(_by_own_clock(pod, made, ending) for pod in seen.pods)
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


def _since(pods: Iterable[Object], known: Mapping[str, datetime], now: datetime) -> dict[str, datetime]:
    """The uid of each pod with the time that is `known` of it; `now` for one that is new."""
    uids = (pod["metadata"].get("uid", "") for pod in pods)
    return {uid: known.get(uid, now) for uid in uids}


def _by_own_clock(pod: Object, made: Mapping[str, datetime], ending: Mapping[str, datetime]) -> Object:
    """The pod whose times count from when it was observed: its creation, and the deletionTimestamp until which it has
    time to end.
    """
    metadata = pod["metadata"]
    times = {}
    if "creationTimestamp" in metadata:
        times["creationTimestamp"] = made[metadata.get("uid", "")].isoformat()
    if _is_ending(pod):
        grace = timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0)
        times["deletionTimestamp"] = (ending[metadata.get("uid", "")] + grace).isoformat()
    return {**pod, "metadata": {**metadata, **times}} if times else pod
