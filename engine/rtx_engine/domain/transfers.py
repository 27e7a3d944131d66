"""Deposits and withdrawals: what an administrator asks for, and what it does to an account."""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum

import msgspec

from rtx_engine.domain import grammar, scales
from rtx_engine.domain.entries import Entry, EntryKind, key_of
from rtx_engine.domain.execution import Portfolio, free_margin
from rtx_engine.domain.pricing import Quote


class InvalidTransferError(ValueError):
    """The transfer is not valid for any account; the message is one sentence for the administrator."""


class TransferRefusal(StrEnum):
    """Why an account does not take a transfer. Nothing is recorded, so the same id may be tried again."""

    INSUFFICIENT_FUNDS = "InsufficientFunds"  # the balance or the free margin is smaller
    STALE_QUOTE = "StaleQuote"  # nobody knows what an open position needs: its symbol has no quote, or an old one
    BALANCE_TOO_LARGE = "BalanceTooLarge"


class TransferRefusedError(Exception):
    """The account does not take the transfer."""

    def __init__(self, refusal: TransferRefusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


class Transfer(msgspec.Struct, frozen=True):
    """A deposit or a withdrawal. `amount` is as added to the balance: negative for a withdrawal."""

    account_id: int
    transfer_id: str
    kind: EntryKind
    amount: Decimal
    reason: str
    author: str

    @property
    def key(self) -> str:
        return key_of(self.transfer_id)

    def same_request(self, entry: Entry) -> bool:
        """Whether `entry`, with the same id, has the same content."""
        return (self.kind, self.amount, self.reason) == (entry.kind, entry.amount, entry.reason)


def transfer(kind: EntryKind, account_id: int, transfer_id: str, *, amount: str, reason: str, author: str) -> Transfer:
    """The deposit or withdrawal that an administrator asks for, in their words. Raises InvalidTransferError."""
    if not grammar.is_name(transfer_id):
        raise InvalidTransferError("id must be 1 to 64 printable ASCII characters")
    if not grammar.is_text(reason):
        raise InvalidTransferError(f"reason must be 1 to {grammar.MAX_TEXT_CHARACTERS} printable characters")
    try:
        money = scales.amount(amount, "amount")
    except scales.InvalidAmountError as error:
        raise InvalidTransferError(str(error)) from error
    if not money:
        raise InvalidTransferError("amount must be more than 0")
    signed = money if kind is EntryKind.DEPOSIT else -money
    return Transfer(account_id, transfer_id, kind, signed, reason, author)


def enter(portfolio: Portfolio, transfer: Transfer, quotes: Mapping[str, Quote], now: dt.datetime) -> Entry:
    """The entry that `transfer` becomes. Raises TransferRefusedError.

    What is withdrawn is part of the balance, and leaves a free margin that is known and not negative. So a profit that
    is still open is never paid out, but it may be the margin that a position needs.
    """
    after = msgspec.structs.replace(
        portfolio, balance=portfolio.balance + transfer.amount, sequence=portfolio.sequence + 1
    )
    refusal = _refusal_of_deposit(after) if transfer.amount > 0 else _refusal_of_withdrawal(after, quotes, now)
    if refusal is not None:
        raise TransferRefusedError(refusal)
    return Entry(
        account_id=transfer.account_id,
        sequence=after.sequence,
        kind=transfer.kind,
        entry_id=transfer.transfer_id,
        amount=transfer.amount,
        balance=after.balance,
        reason=transfer.reason,
        posted_at=now,
    )


def _refusal_of_deposit(after: Portfolio) -> TransferRefusal | None:
    return TransferRefusal.BALANCE_TOO_LARGE if after.balance >= scales.MAX_AMOUNT else None


def _refusal_of_withdrawal(after: Portfolio, quotes: Mapping[str, Quote], now: dt.datetime) -> TransferRefusal | None:
    if after.balance < 0:
        return TransferRefusal.INSUFFICIENT_FUNDS
    free = free_margin(after, quotes, now)
    if free is None:
        return TransferRefusal.STALE_QUOTE
    return TransferRefusal.INSUFFICIENT_FUNDS if free < 0 else None
