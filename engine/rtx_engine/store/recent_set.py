"""What was found a moment ago."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Member = TypeVar("Member", bound=Hashable)


class RecentSet(Generic[Member]):
    """Keeps each member for some seconds; when there are too many, only the newest."""

    def __init__(self, seconds: float, maximum: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._maximum = maximum
        self._clock = clock
        self._until: OrderedDict[Member, float] = OrderedDict()  # the oldest first

    def add(self, member: Member) -> None:
        self._until[member] = self._clock() + self._seconds
        self._until.move_to_end(member)
        if len(self._until) > self._maximum:
            self._until.popitem(last=False)

    def has(self, member: Member) -> bool:
        return self._until.get(member, 0.0) > self._clock()
