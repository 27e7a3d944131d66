"""Errors of the store; their messages go to clients."""

from enum import StrEnum


class OrderErrorReason(StrEnum):
    """Why an order got no result. Except for Conflict, UnknownAccount and Expired, a retry with the same id is safe."""

    FENCED = "Fenced"  # another colour executes
    OVERLOADED = "Overloaded"  # the queue is full
    TOO_MANY_REQUESTS = "TooManyRequests"  # of this account wait already
    UNAVAILABLE = "Unavailable"  # the database did not accept it; nothing was recorded
    OUTCOME_UNKNOWN = "OutcomeUnknown"  # it may have been recorded: an answer was lost, and the next came too late
    CONFLICT = "Conflict"  # the client_order_id belongs to another order
    UNKNOWN_ACCOUNT = "UnknownAccount"
    EXPIRED = "Expired"  # its valid_until is over; it was not placed, and this request never places it
    INTERNAL = "Internal"


class OrderError(Exception):
    """An order without a result; the message is one sentence for the client."""

    def __init__(self, reason: OrderErrorReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class UnavailableError(Exception):
    """The database does not answer; the message is one sentence."""


class OverloadedError(Exception):
    """Too many requests of this pod wait for the database; the message is one sentence."""


class TooManyWaitingError(Exception):
    """Too many requests of this client wait for the database; the message is one sentence."""


class UsernameTakenError(Exception):
    """An account of that name exists."""
