"""Which writes of users and sessions may wait for their turn, and which are refused at once. Pure.

They are written one after the other (fenced_writes.py), and whoever knows their own password may ask as often as it
can be checked. So a user has a few places, and each kind of write its own: no logins keep anybody from a new password,
nor the administrator from a revocation.
"""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from rtx_engine.store.errors import TooManyWaitingError


class WriteKind(StrEnum):
    """What is written, in the words of a refusal."""

    LOGIN = "logins"
    OPENING = "new accounts"
    PASSWORD = "changes of passwords"  # noqa: S105  # a word
    REVOCATION = "revocations"


@dataclass(frozen=True, slots=True)
class WriteOwner:
    """Whose write it is. `user`: the id of whom it is about, or the name of one that is yet to be."""

    kind: WriteKind
    user: int | str

    @property
    def urgent(self) -> bool:
        """Whether it may end a theft: it goes ahead of those that do not."""
        return self.kind in (WriteKind.PASSWORD, WriteKind.REVOCATION)


@dataclass(frozen=True, slots=True)
class WriteLimits:
    """Numbers of writes without an outcome. The defaults are for production."""

    max_of_user: int = 2  # of a kind: one is written while another one waits
    max_of_kind: int = 128  # two each of 64 users: as many as may wait for a hash


PRODUCTION = WriteLimits()


class WriteAdmission:
    """Counts the writes without an outcome."""

    def __init__(self, limits: WriteLimits = PRODUCTION) -> None:
        self._limits = limits
        self._by_owner: Counter[WriteOwner] = Counter()
        self._by_kind: Counter[WriteKind] = Counter()

    def enter(self, owner: WriteOwner) -> None:
        """Let a write wait; `leave` follows. Raises TooManyWaitingError."""
        kind = owner.kind
        if self._by_owner[owner] >= self._limits.max_of_user:
            raise TooManyWaitingError(f"too many {kind} of this user are waiting; try again in a second")
        if self._by_kind[kind] >= self._limits.max_of_kind:
            raise TooManyWaitingError(f"too many {kind} are waiting; try again in a second")
        self._by_owner[owner] += 1
        self._by_kind[kind] += 1

    def leave(self, owner: WriteOwner) -> None:
        """The write has its outcome."""
        self._by_kind[owner.kind] -= 1
        self._by_owner[owner] -= 1
        if not self._by_owner[owner]:
            del self._by_owner[owner]  # so that the table stays as small as the queue
