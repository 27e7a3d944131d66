"""Parses the upgrade request of a WebSocket. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from rtx_engine.api.errors import ApiError, ErrorReason, bad_request, unauthorized
from rtx_engine.domain.symbols import SYMBOLS

PATH = "/ws"
_MAX_SEQUENCE = 2**63 - 1  # PostgreSQL's bigint


@dataclass(frozen=True, slots=True)
class Request:
    """An accepted upgrade request."""

    account_id: int
    symbols: tuple[str, ...]  # send ticks of these
    since: int | None  # send events after this sequence; None: new events only


def parse(target: str, headers: Mapping[str, str], verify_token: Callable[[str], int]) -> Request:
    """Parse the request target and headers (a case-insensitive mapping). Raises ApiError.

    `verify_token` returns the account of a token, or raises ValueError with a message for the client.
    The origin is not checked: browsers do not add the token by themselves, so another site cannot misuse it.
    """
    url = urlsplit(target)
    if url.path != PATH:
        raise ApiError(404, ErrorReason.NOT_FOUND, f"There is no WebSocket at {url.path}: connect to {PATH}.")
    query = parse_qs(url.query, keep_blank_values=True)
    try:
        account_id = verify_token(_token(query, headers))
    except ValueError as error:
        raise unauthorized(str(error)) from error
    return Request(account_id, _symbols(query), _since(query))


def _token(query: Mapping[str, list[str]], headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    if in_query := _single_value(query, "token"):
        return in_query
    raise unauthorized("The token is missing: send it as `Authorization: Bearer …` or as ?token=….")


def _symbols(query: Mapping[str, list[str]]) -> tuple[str, ...]:
    names = dict.fromkeys(name for name in (_single_value(query, "symbols") or "").split(",") if name)
    for name in names:
        if name not in SYMBOLS:
            raise bad_request(f"symbols contains {name!r}, which is not traded: choose from {', '.join(SYMBOLS)}.")
    return tuple(names)


def _since(query: Mapping[str, list[str]]) -> int | None:
    text = _single_value(query, "since")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= _MAX_SEQUENCE):
        raise bad_request(f"since is {text[:40]!r}: give the sequence of the last event received, 0 or more.")
    return int(text)


def _single_value(query: Mapping[str, list[str]], name: str) -> str | None:
    values = query.get(name, [])
    if len(values) > 1:
        raise bad_request(f"{name} is given {len(values)} times: give it once.")
    return values[0] if values else None
