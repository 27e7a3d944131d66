"""Heads of requests as httptools parsed them: what they ask for, and which ones are refused. Pure."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from urllib.parse import unquote

import httptools

from rtx_engine.api.errors import ApiError, ErrorReason, too_large
from rtx_engine.api.limits import Limits

MAX_CACHED_TARGETS = 128  # of at most Limits.url_bytes each
# Of an upgrade offer that is ignored; `connection` keeps its other words.
_OFFER_HEADERS = frozenset({b"upgrade", b"http2-settings"})


def refusal(
    url: bytes, headers: Sequence[tuple[bytes, bytes]], first: Mapping[bytes, bytes], limits: Limits, *, is_short: bool
) -> ApiError | None:
    """Why a request with this head is refused; None if it is not.

    `first`: the first value of each header. `is_short`: the head as a whole has no more than `limits.header_bytes`.
    """
    if len(url) > limits.url_bytes:
        return ApiError(414, ErrorReason.URL_TOO_LONG, f"The URL has more than {limits.url_bytes} bytes.")
    length = first.get(b"content-length")
    if length is not None and int(length) > limits.discarded_bytes:  # digits: llhttp has checked
        return too_large(limits.body_bytes)
    if not is_short and sum(len(name) + len(value) for name, value in headers) > limits.header_bytes:
        return too_many_header_bytes(limits)
    return None


def too_many_headers(limits: Limits) -> ApiError:
    return ApiError(431, ErrorReason.HEADERS_TOO_LARGE, f"There are more than {limits.headers} headers.")


def too_many_header_bytes(limits: Limits) -> ApiError:
    return ApiError(431, ErrorReason.HEADERS_TOO_LARGE, f"The headers have more than {limits.header_bytes} bytes.")


@lru_cache(maxsize=MAX_CACHED_TARGETS)
def target(url: bytes) -> tuple[str, bytes, bytes]:
    """Its path, the same as it was written, and its query. Raises httptools.HttpParserInvalidURLError, ValueError."""
    parsed = httptools.parse_url(url)
    written = parsed.path
    path = written.decode("ascii")
    return unquote(path) if "%" in path else path, written, parsed.query or b""


def offers_websocket(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Of a request that offers to upgrade. Of several headers of a name, the last one counts."""
    last = dict(headers)
    words = [word.strip().lower() for word in last.get(b"connection", b"").split(b",")]
    return b"upgrade" in words and last.get(b"upgrade", b"").lower() == b"websocket"


def without_offer(method: bytes, url: bytes, http_version: str, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The head again, without its offer to upgrade."""
    return _serialised(method, url, http_version, [_without_offer(header) for header in headers])


def serialised(method: bytes, url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The head again, for the protocol that takes over its connection."""
    return _serialised(method, url, "1.1", headers)


def _without_offer(header: tuple[bytes, bytes]) -> tuple[bytes, bytes] | None:
    name, value = header
    if name == b"connection":
        return name, b",".join(word for word in value.split(b",") if word.strip().lower() not in _OFFER_HEADERS)
    return None if name in _OFFER_HEADERS else header


def _serialised(method: bytes, url: bytes, http_version: str, headers: Sequence[tuple[bytes, bytes] | None]) -> bytes:
    lines = [b"%b %b HTTP/%b" % (method, url, http_version.encode())]
    lines += [b"%b: %b" % header for header in headers if header is not None]
    return b"\r\n".join([*lines, b"", b""])
