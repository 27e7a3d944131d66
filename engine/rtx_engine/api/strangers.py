"""Connections on which nobody has shown yet who they are, by address. Pure, and no slower when there are more."""

from collections import defaultdict
from itertools import islice
from typing import Protocol

MAX_TRIED = 256  # of an address, to find one that gives way


class Place(Protocol):
    """A connection that may have to give way to another one."""

    def give_way(self) -> bool:
        """Close, and free the place at once, unless an answer is due. Whether it did."""
        ...


class Strangers:
    """Knows the address that has most of them."""

    def __init__(self) -> None:
        self._places: defaultdict[str, dict[Place, None]] = defaultdict(dict)  # in the order in which they came
        self._addresses: defaultdict[int, dict[str, None]] = defaultdict(dict)  # by their number of places
        self._most = 0  # places of one address

    def add(self, address: str, place: Place) -> None:
        before = self.of(address)
        self._places[address][place] = None
        self._move(address, before)

    def discard(self, address: str, place: Place) -> None:
        """`place` may have gone already."""
        before = self.of(address)
        if self._places.get(address, {}).pop(place, self) is self:
            return
        self._move(address, before)

    def of(self, address: str) -> int:
        """The number of places that the strangers of `address` have."""
        return len(self._places.get(address, ()))

    @property
    def crowd(self) -> str | None:
        """An address that has as many as no other has more; None without strangers."""
        return next(iter(self._addresses[self._most]), None) if self._most else None

    def make_room(self, address: str) -> bool:
        """Whether one of its connections gave way, the oldest if it can."""
        oldest = list(islice(self._places.get(address, ()), MAX_TRIED))
        return any(place.give_way() for place in oldest)

    def _move(self, address: str, before: int) -> None:
        after = self.of(address)
        self._addresses[before].pop(address, None)
        if not self._addresses[before]:
            del self._addresses[before]
        if after:
            self._addresses[after][address] = None
        else:
            self._places.pop(address, None)  # so that the table stays as small as the number of addresses
        if after > self._most or (before == self._most and before not in self._addresses):
            self._most = after
