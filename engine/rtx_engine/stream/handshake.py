"""Parses the upgrade request of a WebSocket. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rtx_engine.api.errors import ApiError, ErrorReason, bad_request, unauthorized
from rtx_engine.api.query import Query
from rtx_engine.domain.symbols import SYMBOLS

PATH = "/ws"


@dataclass(frozen=True, slots=True)
class Request:
    """An accepted upgrade request."""

    account_id: int
    symbols: tuple[str, ...]  # send ticks of these
    since: int | None  # send events after this sequence; None: new events only


def parse(target: bytes, headers: Mapping[str, str], verify_token: Callable[[str], int]) -> Request:
    """Parse the request target and headers (a case-insensitive mapping). Raises ApiError.

    `verify_token` returns the account of a token, or raises ValueError with a message for the client.
    The origin is not checked: browsers do not add the token by themselves, so another site cannot misuse it.
    """
    path, _, parameters = target.partition(b"?")
    if path != PATH.encode():
        found = path[:64].decode("ascii", "replace")
        raise ApiError(404, ErrorReason.NOT_FOUND, f"There is no WebSocket at {found!a}: connect to {PATH}.")
    query = Query(parameters)
    try:
        account_id = verify_token(_token(query, headers))
    except ValueError as error:
        raise unauthorized(str(error)) from error
    return Request(account_id, _symbols(query), query.whole_number("since", None))


def _token(query: Query, headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    if in_query := query.text("token"):
        return in_query
    raise unauthorized("The token is missing: send it as `Authorization: Bearer …` or as ?token=….")


def _symbols(query: Query) -> tuple[str, ...]:
    names = dict.fromkeys(name for name in (query.text("symbols") or "").split(",") if name)
    for name in names:
        if name not in SYMBOLS:
            raise bad_request(f"symbols contains {name[:32]!a}, which is not traded: choose from {', '.join(SYMBOLS)}.")
    return tuple(names)
