"""Places that are bounded in all and shared out among those who want them. Pure.

Whoever has none gets one while there is one; whoever has some gets another only out of a share of those that are free.
So the more places somebody has, the more stay free for others, and the last ones are for those who have none.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

_SHARE_OF_FREE = 0.25  # that somebody may have: a fifth of all while nobody else wants any

Owner = TypeVar("Owner", bound=Hashable)


class Places(Generic[Owner]):
    """`in_all` places."""

    def __init__(self, in_all: int) -> None:
        self._in_all = in_all
        self._taken = 0
        self._by_owner: Counter[Owner] = Counter()

    @property
    def full(self) -> bool:
        return self._taken >= self._in_all

    def refuses(self, owner: Owner) -> bool:
        """Whether the owner gets no further place at present."""
        free, own = self._in_all - self._taken, self._by_owner[owner]
        return free <= 0 or (own > 0 and own >= _SHARE_OF_FREE * free)

    @contextmanager
    def take(self, owner: Owner, refusal: Callable[[], Exception]) -> Iterator[None]:
        """A place, until this is left. Raises what `refusal` returns."""
        if self.refuses(owner):
            raise refusal()
        self._taken += 1
        self._by_owner[owner] += 1
        try:
            yield
        finally:
            self._taken -= 1
            self._by_owner[owner] -= 1
            if not self._by_owner[owner]:
                del self._by_owner[owner]  # so that the table stays as small as the number of places
