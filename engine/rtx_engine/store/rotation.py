"""Who is next among those that wait, so that however often one of them asks, the others wait for one of each. Pure."""

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Owner = TypeVar("Owner", bound=Hashable)
Item = TypeVar("Item")


class Rotation(Generic[Owner, Item]):
    """What waits, by owner. An owner's own items stay in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[Owner, deque[Item]] = OrderedDict()  # the next owner first; none without an item

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._waiting)

    def add(self, owner: Owner, item: Item) -> None:
        """Let `item` wait, behind all owners if `owner` has none that waits."""
        self._waiting.setdefault(owner, deque()).append(item)

    def take(self) -> Item:
        """The next item, of which there must be one; its owner's next one comes after one of each other owner."""
        owner, items = next(iter(self._waiting.items()))
        item = items.popleft()
        if items:
            self._waiting.move_to_end(owner)
        else:
            del self._waiting[owner]
        return item

    def discard(self, owner: Owner, item: Item) -> None:
        """`item` waits no longer, if it did."""
        items = self._waiting.get(owner)
        if items is not None and item in items:
            items.remove(item)
            if not items:
                del self._waiting[owner]
