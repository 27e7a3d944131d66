"""Maps exceptions to API errors."""

from collections.abc import Mapping

from starlette.exceptions import HTTPException

from rtx_engine.api.errors import RETRY, ApiError, ErrorReason, sentence
from rtx_engine.store import OrderError, OrderErrorReason, OverloadedError, TooManyWaitingError, UnavailableError

_STATUS: Mapping[OrderErrorReason, int] = {
    OrderErrorReason.CONFLICT: 409,
    OrderErrorReason.UNKNOWN_ACCOUNT: 404,
    OrderErrorReason.EXPIRED: 412,
    OrderErrorReason.INTERNAL: 500,
    OrderErrorReason.FENCED: 503,
    OrderErrorReason.OVERLOADED: 503,
    OrderErrorReason.TOO_MANY_REQUESTS: 429,
    OrderErrorReason.UNAVAILABLE: 503,
    OrderErrorReason.OUTCOME_UNKNOWN: 503,
}
_OF_STORE: Mapping[type[Exception], tuple[int, ErrorReason]] = {
    UnavailableError: (503, ErrorReason.UNAVAILABLE),
    OverloadedError: (503, ErrorReason.BUSY),
    TooManyWaitingError: (429, ErrorReason.TOO_MANY_REQUESTS),
}


def to_api_error(error: BaseException) -> ApiError:
    """The API error for `error`; 500 for an unexpected exception."""
    match error:
        case ApiError():
            return error
        case OrderError():
            status = _STATUS[error.reason]
            return ApiError(
                status, error.reason, _capital(sentence(error)), headers=RETRY if status in (429, 503) else ()
            )
        case UnavailableError() | OverloadedError() | TooManyWaitingError():
            status, reason = _OF_STORE[type(error)]
            return ApiError(status, reason, _capital(sentence(error)), headers=RETRY)
        case HTTPException(status_code=404):
            return ApiError(404, ErrorReason.NOT_FOUND, "This path does not exist: /docs lists the paths of this API.")
        case HTTPException(status_code=405):
            return method_not_allowed(", ".join(allowed_methods(error)))
        case _:
            return ApiError(
                500, ErrorReason.INTERNAL, "The engine failed unexpectedly and logged the error: try again."
            )


def allowed_methods(error: HTTPException) -> list[str]:
    """The methods that Starlette's router names in a 405; empty for other errors."""
    return (error.headers or {}).get("Allow", "").replace(" ", "").split(",") if error.status_code == 405 else []


def method_not_allowed(allowed: str) -> ApiError:
    """405. `allowed`: the methods of this path, separated by commas."""
    return ApiError(
        405,
        ErrorReason.METHOD_NOT_ALLOWED,
        f"This path does not support this method: use {allowed}.",
        headers=((b"allow", allowed.encode()),),
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
