"""Account events, numbered without a gap within an account, so that a client detects a missing one."""

import datetime as dt
from enum import StrEnum

import msgspec

from rtx_engine.domain.entries import Entry, entry_response
from rtx_engine.domain.order_response import order_response
from rtx_engine.domain.orders import Execution

_encode = msgspec.json.Encoder().encode


class EventKind(StrEnum):
    """The kind of an account event; the `type` of its message."""

    ORDER = "order"
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    ADJUSTMENT = "adjustment"


class AccountEvent(msgspec.Struct, frozen=True):
    """One event of an account. `payload` is a JSON object; it contains the sequence too."""

    account_id: int
    sequence: int
    kind: EventKind
    payload: msgspec.Raw
    at: dt.datetime


def order_event(execution: Execution) -> AccountEvent:
    """The event of an execution; its payload is the order's response."""
    payload = msgspec.Raw(_encode(order_response(execution)))
    return AccountEvent(execution.order.account_id, execution.sequence, EventKind.ORDER, payload, execution.executed_at)


def entry_event(entry: Entry) -> AccountEvent:
    """The event of an entry that is no opening."""
    payload = msgspec.Raw(_encode(entry_response(entry)))
    kind = EventKind[entry.kind.name]
    return AccountEvent(entry.account_id, entry.sequence, kind, payload, entry.posted_at)


def message(event: AccountEvent) -> bytes:
    """The JSON message to clients: the payload with its `type`."""
    return b'{"type":"%s",%s' % (event.kind.encode(), bytes(event.payload).lstrip()[1:])
