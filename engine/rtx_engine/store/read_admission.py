"""Which reads wait for the pod's one connection for them, and which are refused at once. Pure.

A queue that is longer than what is soon served helps nobody: whoever is in it has given up by the time of their turn.
So its length is bounded by what its reads would wait, as the last ones took. A burst of quick reads is let in whole.
An account has a share of what is free: however many it asks for, there is a place for the next one.
"""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from rtx_engine.store.errors import OverloadedError, TooManyWaitingError


class Shared(StrEnum):
    """Reads that are of no account."""

    STRANGERS = "strangers"  # who want to log in
    # Users who log in from where they did before, one read each: strangers do not take their places.
    KNOWN = "known"
    # Of accounts whose password is to be changed, one read each. That may end a theft: no lack of room refuses it.
    PASSWORDS = "passwords"
    POD = "pod"  # by the pod for all its clients, a few at a time: never refused
    WRITES = "writes"  # one of each kind (turns.py), counted before: never refused, and ahead of what reads


@dataclass(frozen=True, slots=True)
class Refreshes:
    """Refreshes of an account's tokens: what else it asks, or a thief of its token, takes no place from them."""

    account_id: int


Owner = int | Refreshes | Shared  # an account, or the above


def is_pods(owner: Owner) -> bool:
    """Whether nobody in particular asks: what is refused to clients for want of room is not refused here."""
    return owner in (Shared.POD, Shared.WRITES)


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Numbers of waiting reads, and seconds. The defaults are for production; tests set smaller ones."""

    max_waiting: int = 512
    min_waiting: int = 16  # are let in however slow the database is
    max_waiting_per_account: int = 16
    max_waiting_strangers: int = 8  # more than a thread for passwords needs
    max_waiting_known: int = 64  # users: as many as may wait for those threads
    max_waiting_refreshes: int = 16  # of an account, which may have 32 sessions
    max_waiting_passwords: int = 64  # accounts
    max_expected_wait_seconds: float = 0.5
    wait_seconds: float = 2.0  # for a read's turn, when others took longer than expected
    read_seconds: float = 3.0  # for a read, from its start


PRODUCTION = ReadLimits()

# Are bounded by their own numbers, beyond the queue's length, so that no account keeps them out.
_BESIDE = (Shared.STRANGERS, Shared.KNOWN, Shared.PASSWORDS)
_SHARE_OF_FREE = 0.25  # that an account may take: a quarter of an empty queue, and less the fewer places are left
_RECENT_WEIGHT = 0.1  # of the newest read in the average: ten reads make it


class ReadAdmission:
    """Counts the reads that wait."""

    def __init__(self, limits: ReadLimits = PRODUCTION) -> None:
        self._limits = limits
        self._by_owner: Counter[Owner] = Counter()
        self._waiting = 0  # but for those beside the queue
        self._seconds_per_read = 0.0  # average of the last few

    @property
    def room(self) -> int:
        """How many reads may wait at present."""
        limits = self._limits
        if not self._seconds_per_read:
            return limits.max_waiting
        soon = int(limits.max_expected_wait_seconds / self._seconds_per_read)
        return max(limits.min_waiting, min(soon, limits.max_waiting))

    def enter(self, owner: Owner) -> None:
        """Let a read wait; `leave` follows. Raises TooManyWaitingError or OverloadedError."""
        if not is_pods(owner):
            free = self.room - self._waiting
            if free <= 0 and owner not in _BESIDE:
                raise OverloadedError("too many requests are waiting; try again in a second")
            share, what = self._share(owner, free)
            if self._by_owner[owner] >= share:
                raise TooManyWaitingError(f"too many {what} are waiting; try again in a second")
        self._by_owner[owner] += 1
        self._waiting += owner not in _BESIDE

    def leave(self, owner: Owner) -> None:
        """The read's turn has come, or it gave up."""
        self._waiting -= owner not in _BESIDE
        self._by_owner[owner] -= 1
        if not self._by_owner[owner]:
            del self._by_owner[owner]  # so that the table stays as small as the queue

    def _share(self, owner: Owner, free: int) -> tuple[float, str]:
        """How many of the owner's reads may wait while so many places are free, and what they are called."""
        if isinstance(owner, Refreshes):
            share = min(self._limits.max_waiting_refreshes, _SHARE_OF_FREE * free)
            return share, "refreshes of this account's tokens"
        if owner is Shared.PASSWORDS:
            return self._limits.max_waiting_passwords, "changes of passwords"
        if owner is Shared.KNOWN:
            return self._limits.max_waiting_known, "logins"
        if owner is Shared.STRANGERS:
            return self._limits.max_waiting_strangers, "logins"
        share = min(self._limits.max_waiting_per_account, _SHARE_OF_FREE * free)
        return share, "requests of this account"

    def served(self, seconds: float) -> None:
        """A read has kept the open connection for so long."""
        self._seconds_per_read += _RECENT_WEIGHT * (seconds - self._seconds_per_read)
