"""Entries of the journal: what changes an account's money and is no fill."""

import datetime as dt
from decimal import Decimal
from enum import IntEnum

import msgspec

KEY_PREFIX = "§"  # of keys that clients of the order path cannot send, because it is not ASCII
_ENTRY_KEY = f"{KEY_PREFIX}entry:"


class EntryKind(IntEnum):
    """The number of an entry's kind in the journal; it never changes."""

    OPENING = 1
    DEPOSIT = 2
    WITHDRAWAL = 3
    ADJUSTMENT = 4


class Entry(msgspec.Struct, frozen=True):
    """A row of the journal. `amount` is as added to the balance, and `balance` is what that made of it."""

    account_id: int
    sequence: int
    kind: EntryKind
    entry_id: str  # by which its author asked for it
    amount: Decimal
    balance: Decimal
    reason: str
    posted_at: dt.datetime


class EntryResponse(msgspec.Struct, frozen=True):
    """A change of an account's money, as added to its balance. Decimals are JSON strings."""

    id: str
    kind: str
    amount: Decimal
    balance: Decimal  # after it
    reason: str
    posted_at: dt.datetime
    sequence: int


def entry_response(entry: Entry) -> EntryResponse:
    return EntryResponse(
        id=entry.entry_id,
        kind=entry.kind.name.lower(),
        amount=entry.amount,
        balance=entry.balance,
        reason=entry.reason,
        posted_at=entry.posted_at,
        sequence=entry.sequence,
    )


def key_of(entry_id: str) -> str:
    """The key under which an entry of this id happens once in its account, however often it is asked for."""
    return _ENTRY_KEY + entry_id


def id_of(key: str | None) -> str:
    """The id that `key_of` was given; empty if nobody gave one."""
    return (key or "").removeprefix(_ENTRY_KEY)
