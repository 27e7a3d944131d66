"""Parses the upgrade request of a WebSocket. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from rtx_engine.api.errors import ApiError, ErrorReason, bad_request, unauthorized
from rtx_engine.api.query import Query
from rtx_engine.domain.symbols import SYMBOLS

PATH = "/ws"


@dataclass(frozen=True, slots=True)
class Request:
    """An upgrade request."""

    token: str | None  # of the Authorization header; None: the first message has it
    symbols: tuple[str, ...]  # send ticks of these
    since: int | None  # send events after this sequence; None: new events only


def parse(target: bytes, headers: Mapping[str, str]) -> Request:
    """Parse the request target and headers (a case-insensitive mapping). Raises ApiError.

    The origin is not checked: browsers do not add the token by themselves, so another site cannot misuse it.
    """
    path, _, parameters = target.partition(b"?")
    if path != PATH.encode():
        found = path[:64].decode("ascii", "replace")
        raise ApiError(404, ErrorReason.NOT_FOUND, f"There is no WebSocket at {found!a}: connect to {PATH}.")
    query = Query(parameters)
    if query.text("token") is not None:
        raise bad_request(
            "token is in the URL, which logs and browsers keep: send it in the Authorization header, or as "
            '{"type": "authenticate", "token": "…"} in the first message; and get another one, at POST /api/login.'
        )
    return Request(_token(headers), _symbols(query), query.whole_number("since", None))


def _token(headers: Mapping[str, str]) -> str | None:
    value = headers.get("authorization")
    if value is None:
        return None
    scheme, _, token = value.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise unauthorized("The Authorization header is not a bearer token: send 'Bearer' and a token.")
    return token.strip()


def _symbols(query: Query) -> tuple[str, ...]:
    names = dict.fromkeys(name for name in (query.text("symbols") or "").split(",") if name)
    for name in names:
        if name not in SYMBOLS:
            raise bad_request(f"symbols contains {name[:32]!a}, which is not traded: choose from {', '.join(SYMBOLS)}.")
    return tuple(names)
