"""What the API answers when it does not do what it was asked: a status, a reason out of an enum, one sentence."""

from enum import StrEnum

import msgspec


class ErrorReason(StrEnum):
    """Why a request was refused. Orders have further reasons: store.OrderErrorReason and domain's RejectReason."""

    BAD_REQUEST = "BadRequest"
    UNAUTHORIZED = "Unauthorized"
    FORBIDDEN = "Forbidden"
    NOT_FOUND = "NotFound"
    METHOD_NOT_ALLOWED = "MethodNotAllowed"
    CONFLICT = "Conflict"
    PAYLOAD_TOO_LARGE = "PayloadTooLarge"
    BUSY = "Busy"
    UNAVAILABLE = "Unavailable"
    NOT_READY = "NotReady"
    SHUTTING_DOWN = "ShuttingDown"
    INTERNAL = "Internal"


class ErrorDetail(msgspec.Struct, frozen=True):
    """A reason, and one sentence: what is wrong, where, what to do."""

    reason: str
    message: str


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every answer from 400 on."""

    error: ErrorDetail


Headers = tuple[tuple[bytes, bytes], ...]

RETRY: Headers = ((b"retry-after", b"1"),)  # seconds: pods start, databases fail over and queues empty in about that


class ApiError(Exception):
    """Raised anywhere below a route; becomes the answer. `headers` come beside content-type and content-length."""

    def __init__(self, status: int, reason: StrEnum, message: str, *, headers: Headers = ()) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.headers = headers

    def body(self) -> bytes:
        """The answer's body."""
        return msgspec.json.encode(ErrorBody(ErrorDetail(self.reason.value, str(self))))


def unauthorized(message: str) -> ApiError:
    return ApiError(401, ErrorReason.UNAUTHORIZED, message, headers=((b"www-authenticate", b"Bearer"),))


def bad_request(message: str) -> ApiError:
    return ApiError(400, ErrorReason.BAD_REQUEST, message)


def sentence(error: Exception) -> str:
    """The message of an error from below, with its full stop. It may begin with the name of a field."""
    return f"{str(error).removesuffix('.')}."
