"""Errors of the API: a status, a reason from an enum, a message of one sentence."""

from enum import StrEnum

import msgspec


class ErrorReason(StrEnum):
    """Why a request failed. Orders have more reasons: store.OrderErrorReason and domain.orders.RejectReason."""

    BAD_REQUEST = "BadRequest"
    UNAUTHORIZED = "Unauthorized"
    FORBIDDEN = "Forbidden"
    NOT_FOUND = "NotFound"
    METHOD_NOT_ALLOWED = "MethodNotAllowed"
    CONFLICT = "Conflict"
    PAYLOAD_TOO_LARGE = "PayloadTooLarge"
    URL_TOO_LONG = "UrlTooLong"
    HEADERS_TOO_LARGE = "HeadersTooLarge"
    TOO_SLOW = "TooSlow"
    TOO_MANY_CONNECTIONS = "TooManyConnections"
    TOO_MANY_LOGINS = "TooManyLogins"
    TOO_MANY_REQUESTS = "TooManyRequests"
    BUSY = "Busy"
    UNAVAILABLE = "Unavailable"
    NOT_READY = "NotReady"
    SHUTTING_DOWN = "ShuttingDown"
    INTERNAL = "Internal"


class ErrorDetail(msgspec.Struct, frozen=True):
    """The reason, and one sentence: what is wrong, where, what to do."""

    reason: str
    message: str


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every response with a 4xx or 5xx status."""

    error: ErrorDetail


Headers = tuple[tuple[bytes, bytes], ...]

RETRY: Headers = ((b"retry-after", b"1"),)  # seconds


class ApiError(Exception):
    """Raised below a route; becomes the response. `headers` come in addition to content-type and content-length."""

    def __init__(self, status: int, reason: StrEnum, message: str, *, headers: Headers = ()) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.headers = headers

    def body(self) -> bytes:
        """The JSON body of the response."""
        return msgspec.json.encode(ErrorBody(ErrorDetail(self.reason.value, str(self))))


def unauthorized(message: str) -> ApiError:
    return ApiError(401, ErrorReason.UNAUTHORIZED, message, headers=((b"www-authenticate", b"Bearer"),))


def bad_request(message: str) -> ApiError:
    return ApiError(400, ErrorReason.BAD_REQUEST, message)


def too_large(max_bytes: int) -> ApiError:
    return ApiError(
        413, ErrorReason.PAYLOAD_TOO_LARGE, f"The body has more than {max_bytes} bytes: send a smaller one."
    )


def sentence(error: Exception) -> str:
    """The message of `error`, ending with a full stop."""
    return f"{str(error).removesuffix('.')}."
