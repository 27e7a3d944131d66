"""Account events: numbered without a gap within an account, so that whoever listens knows when one is missing."""

import datetime as dt
from enum import StrEnum

import msgspec

from rtx_engine.domain.order_response import order_response
from rtx_engine.domain.orders import Execution

_encode = msgspec.json.Encoder().encode


class EventKind(StrEnum):
    """What an account event tells; `type` of the message."""

    ORDER = "order"


class AccountEvent(msgspec.Struct, frozen=True):
    """One event of an account's stream. `payload` is a JSON object that holds the sequence too."""

    account_id: int
    sequence: int
    kind: EventKind
    payload: msgspec.Raw
    at: dt.datetime


def order_event(execution: Execution) -> AccountEvent:
    """The event that tells an execution: what its sender is answered with."""
    payload = msgspec.Raw(_encode(order_response(execution)))
    return AccountEvent(execution.order.account_id, execution.sequence, EventKind.ORDER, payload, execution.executed_at)


def message(event: AccountEvent) -> bytes:
    """The JSON text that a client gets: the payload with its `type`."""
    return b'{"type":"%s",%s' % (event.kind.encode(), bytes(event.payload).lstrip()[1:])
