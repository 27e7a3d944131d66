"""How many logins, and changes of a password, a pod has under way at once. Pure.

Each of them needs places further on that are bounded in all: to read, for a hash, to write. Those who come through here
are too few to fill these, and they are shared out by address: however many users log in at one, others have their
turn elsewhere. A user has a few of an address, and their places there take none from the same user elsewhere.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from rtx_engine.api.passwords import too_many_logins
from rtx_engine.api.places import Places

IN_ALL = 64  # of a group: as many as may wait for a hash
OF_USER = 4  # at an address: one address has places for three such users and a half


class Group(StrEnum):
    """None takes another's places."""

    STRANGERS = "strangers"
    KNOWN = "known"  # have logged in from their address before
    HOLDERS = "holders"  # of a token, who change their password


class LoginPlaces:
    """Counts those under way."""

    def __init__(self, in_all: int = IN_ALL, of_user: int = OF_USER) -> None:
        self._of_user = of_user
        self._places = {group: Places[str](in_all) for group in Group}
        self._by_user: Counter[tuple[Group, str, str | int]] = Counter()

    @contextmanager
    def take(self, group: Group, address: str, user: str | int) -> Iterator[None]:
        """A place, until this is left. Raises ApiError (429)."""
        key = (group, address, user)
        if self._by_user[key] >= self._of_user:
            raise too_many_logins(1)
        with self._places[group].take(address, lambda: too_many_logins(1)):
            self._by_user[key] += 1
            try:
                yield
            finally:
                self._by_user[key] -= 1
                if not self._by_user[key]:
                    del self._by_user[key]  # so that the table stays as small as the number of places
