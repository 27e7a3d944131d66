"""Responses as bytes: head and body are one write, because each write is a system call and wakes the client. Pure."""

import re
from functools import lru_cache
from http import HTTPStatus

from rtx_engine.api.errors import ApiError, Headers
from rtx_engine.api.http import Response

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_WITHOUT_LENGTH = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
_NO_NAME = re.compile(b"[^!#$%&'*+.^_`|~0-9A-Za-z-]|^$")  # but of RFC 9110's tokens
_NO_VALUE = re.compile(b"[\x00-\x08\x0a-\x1f\x7f]")


def serialised(response: Response, common: bytes, *, close: bool, with_body: bool) -> bytes:
    """`common`: lines of headers that all responses have. `close`: the connection ends after it.

    Raises ValueError if a header is none: one with a line break would be two.
    """
    body = response.body
    head = _status_and_type(response.status, response.content_type)
    length = b"" if response.status in _WITHOUT_LENGTH else b"content-length: %d\r\n" % len(body)
    more = lines(response.headers) if response.headers else b""
    end = b"connection: close\r\n\r\n" if close else b"\r\n"
    return b"%b%b%b%b%b%b" % (head, common, length, more, end, body if with_body else b"")


def refusal(error: ApiError) -> bytes:
    """The answer that ends a connection."""
    return serialised(Response(error.status, error.body(), error.headers), b"", close=True, with_body=True)


@lru_cache(maxsize=64)
def _status_and_type(status: int, content_type: bytes) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:  # of a peer of another version
        phrase = ""
    line = b"HTTP/1.1 %d %b\r\n" % (status, phrase.encode())
    return line + lines(((b"content-type", content_type),)) if content_type else line


@lru_cache(maxsize=64)
def lines(headers: Headers) -> bytes:
    """The lines of `headers`. Raises ValueError, as above."""
    for name, value in headers:
        if _NO_NAME.search(name) or _NO_VALUE.search(value):
            raise ValueError(f"a response has a header that is none: {name!r}")
    return b"".join(b"%b: %b\r\n" % header for header in headers)
