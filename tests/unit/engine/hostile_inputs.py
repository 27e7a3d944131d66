"""What strangers send: for each place of each route, the values that must be refused before the database is asked.

Values in bodies are JSON texts, some of which are no JSON; those in URLs are percent-encoded.
"""

# ruff: noqa: RUF001  # letters and digits that look like others are the point
import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

MEGABYTE = 1_000_000

# No field of any body has such a value.
NO_STRINGS: Mapping[str, bytes] = {
    "null": b"null",
    "true": b"true",
    "a float": b"1.5",
    "an infinite float": b"1e400",
    "5,000 digits": b"9" * 5_000,
    "minus 5,000 digits": b"-" + b"9" * 5_000,
    "an empty list": b"[]",
    "an empty object": b"{}",
    "a list 4,000 deep": b"[" * 4_000 + b"]" * 4_000,
    "an object 2,000 deep": b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
    "a list that never ends": b"[" * 4_000,
    "a lone high surrogate": rb'"\ud800"',
    "a lone low surrogate": rb'"a\udc00b"',
    "two high surrogates": rb'"\ud800\ud800"',
    "a surrogate in UTF-8": b'"\xed\xa0\x80"',
    "bytes that are no UTF-8": b'"\xff\xfe"',
    "an overlong NUL": b'"\xc0\x80"',
    "a raw control character": b'"a\x01b"',
    "a string that never ends": b'"abc',
    "an unknown escape": rb'"\x00"',
    "a megabyte": b'"' + b"x" * MEGABYTE + b'"',
}
# No id, name or choice of a list is written like this.
NO_NAMES: Mapping[str, bytes] = {
    **NO_STRINGS,
    "empty": b'""',
    "NUL": rb'"\u0000"',
    "NUL within": rb'"a\u0000b"',
    "a line break": rb'"a\nb"',
    "DEL": b'"a\x7fb"',
    "a letter with an accent": '"é"'.encode(),
    "Arabic digits": '"٣"'.encode(),
    "fullwidth letters": '"ＥＵＲＵＳＤ"'.encode(),
    "a zero-width space": rb'"a\u200bb"',
    "a right-to-left override": rb'"a\u202eb"',
    "an emoji": '"😀"'.encode(),
    "the replacement character": '"\ufffd"'.encode(),
    "65 letters": b'"' + b"x" * 65 + b'"',
    "4,000 letters": b'"' + b"x" * 4_000 + b'"',
}
# No number in a string is written like this, whatever Python's Decimal makes of it.
NO_NUMBERS: Mapping[str, bytes] = {
    **NO_NAMES,
    "an underscore": b'"0_1"',
    "an underscore within": b'"1_0.00"',
    "spaces": b'" 0.01 "',
    "a line break after it": rb'"1\n"',
    "a plus": b'"+1"',
    "a minus": b'"-1"',
    "minus zero": b'"-0"',
    "an exponent": b'"1e1"',
    "a huge exponent": b'"1e999999"',
    "a tiny exponent": b'"1e-999999"',
    "hexadecimal": b'"0x10"',
    "a comma": b'"0,01"',
    "two points": b'"1.0.0"',
    "nothing before the point": b'".5"',
    "nothing after the point": b'"1."',
    "a leading zero": b'"01"',
    "NaN": b'"NaN"',
    "a signalling NaN": b'"sNaN"',
    "NaN with 4,000 digits": b'"NaN' + b"1" * 4_000 + b'"',
    "infinity": b'"Infinity"',
    "minus infinity": b'"-inf"',
    "Arabic digits with a point": '"٠.٠١"'.encode(),
    "fullwidth digits": '"１"'.encode(),
    "a superscript": '"²"'.encode(),
    "a fraction": '"½"'.encode(),
    "16,000 zeros": b'"' + b"0" * 16_000 + b'"',
    "one and 4,000 zeros after the point": b'"1.' + b"0" * 4_000 + b'"',
    "4,000 nines": b'"' + b"9" * 4_000 + b'"',
}
# No sentence for people is written like this; letters of all scripts are.
NO_TEXTS: Mapping[str, bytes] = {
    **NO_STRINGS,
    "empty": b'""',
    "spaces": b'"   "',
    "no-break spaces": rb'"\u00a0\u00a0"',
    "NUL": rb'"\u0000"',
    "NUL within": rb'"a\u0000b"',
    "a line break": rb'"a\nb"',
    "DEL": b'"a\x7fb"',
    "a zero-width space": rb'"a\u200bb"',
    "a right-to-left override": rb'"a\u202eb"',
    "a line separator": rb'"a\u2028b"',
    "a character for private use": rb'"a\ue000b"',
    "201 letters": b'"' + b"x" * 201 + b'"',
    "201 letters with accents": ('"' + "é" * 201 + '"').encode(),
    "4,000 letters": b'"' + b"x" * 4_000 + b'"',
}
NO_AMOUNTS: Mapping[str, bytes] = {
    **NO_NUMBERS,
    "zero": b'"0"',
    "no cents": b'"0.00"',
    "less than a cent": b'"0.001"',
    "a cent and a half": b'"0.015"',
    "13 digits": b'"1000000000000"',
}
NO_WHOLE_NUMBERS: Mapping[str, bytes] = {
    **NO_STRINGS,
    "a string": b'"100"',
    "zero": b"0",
    "negative": b"-1",
    "beyond 64 bits": b"18446744073709551616",
    "a float without a fraction": b"1.0",
    "an exponent": b"1e2",
}

# No time is written like this. One that is left out may also be null.
NO_TIMES: Mapping[str, bytes] = {
    **{what: text for what, text in NO_NUMBERS.items() if what != "null"},
    "a day": b'"2030-01-01"',
    "no zone": b'"2030-01-01T00:00:00"',
    "another zone": b'"2030-01-01T00:00:00+01:00"',
    "a space in between": b'"2030-01-01 00:00:00Z"',
    "no day of a month": b'"2030-02-30T00:00:00Z"',
    "a leap second": b'"2030-12-31T23:59:60Z"',
    "the year 0": b'"0000-01-01T00:00:00Z"',
    "five digits of a year": b'"10000-01-01T00:00:00Z"',
    "nanoseconds": b'"2030-01-01T00:00:00.123456789Z"',
}


@dataclass(frozen=True)
class Body:
    """A JSON body: `valid` texts by field, of which `hostile` ones take the place one at a time."""

    path: str
    valid: Mapping[str, bytes]
    hostile: Mapping[str, Mapping[str, bytes]]

    def requests(self) -> Iterator[tuple[str, bytes]]:
        """What is wrong, and the body."""
        for name, values in self.hostile.items():
            for what, text in values.items():
                yield f"{name}: {what}", _object(self.valid | {name: text})
        for what, text in NO_STRINGS.items():
            if what != "an empty object":
                yield f"body: {what}", text
        yield "a field too many", _object(self.valid | {"more": b'"\\u0000"'})
        yield "a field with a NUL in its name", _object(self.valid | {"\\u0000": b"1"})
        yield "a field with a name of 8,000 characters", _object(self.valid | {"x" * 8_000: b"1"})
        yield "a deep field too many", _object(self.valid | {"more": b"[" * 4_000 + b"]" * 4_000})
        yield "text after it", _object(self.valid) + b"{}"
        yield "a byte order mark", b"\xef\xbb\xbf" + _object(self.valid)
        yield "UTF-16", _object(self.valid).decode().encode("utf-16")
        yield "nothing", b""
        yield "spaces", b" " * 10_000


BODIES = (
    Body(
        "/api/login",
        {"username": b'"nobody"', "password": b'"password"'},
        {"username": NO_NAMES, "password": NO_STRINGS},
    ),
    Body("/api/refresh", {"refresh_token": b'"' + b"x" * 43 + b'"'}, {"refresh_token": NO_NAMES}),
    Body(
        "/api/password",
        {"password": b'"password"', "new_password": b'"another one"'},
        {
            "password": {**NO_STRINGS, "1,025 letters": b'"' + b"x" * 1_025 + b'"'},
            "new_password": {**NO_STRINGS, "1,025 letters": b'"' + b"x" * 1_025 + b'"'},
        },
    ),
    Body(
        "/api/admin/accounts",
        {"username": b'"nobody"', "password": b'"password"', "balance": b'"1.00"', "leverage": b"1"},
        {
            "username": NO_NAMES,
            "password": {**NO_STRINGS, "1,025 letters": b'"' + b"x" * 1_025 + b'"'},
            "balance": NO_NUMBERS,
            "leverage": NO_WHOLE_NUMBERS,
            "currency": NO_NAMES,
        },
    ),
    *(
        Body(
            f"/api/admin/accounts/{{account_id}}/{what}",
            {"id": b'"one"', "amount": b'"1.00"', "reason": b'"test"'},
            {"id": NO_NAMES, "amount": NO_AMOUNTS, "reason": NO_TEXTS},
        )
        for what in ("deposits", "withdrawals")
    ),
    Body(
        "/api/orders/market",
        {"client_order_id": b'"one"', "symbol": b'"EURUSD"', "side": b'"buy"', "quantity": b'"0.10"'},
        {
            "client_order_id": {**NO_NAMES, "a dot": b'"."', "two dots": b'".."'},
            "symbol": NO_NAMES,
            "side": NO_NAMES,
            "quantity": NO_NUMBERS,
            "valid_until": NO_TIMES,
        },
    ),
)

# In a URL. The empty text is what some clients make of a value that is not set.
NO_NAMES_IN_URLS: Mapping[str, str] = {
    "NUL": "%00",
    "NUL within": "a%00b",
    "a line break": "a%0ab",
    "a surrogate in UTF-8": "%ed%a0%80",
    "no UTF-8": "%ff",
    "an overlong NUL": "%c0%80",
    "an accent": "%c3%a9",
    "an emoji": "%f0%9f%98%80",
    "65 letters": "x" * 65,
    "4,000 letters": "x" * 4_000,
    "a NUL escaped twice, 30 times": "%2500" * 30,
}
NO_NUMBERS_IN_URLS: Mapping[str, str] = {
    **NO_NAMES_IN_URLS,
    "empty": "",
    "Arabic digits": "%d9%a3",
    "fullwidth digits": "%ef%bc%91",
    "a superscript": "%c2%b2",
    "an underscore": "1_0",
    "a space before it": "%201",
    "a plus before it": "%2b1",
    "negative": "-1",
    "a fraction": "1.0",
    "an exponent": "1e1",
    "a leading zero": "01",
    "beyond 64 bits": "9223372036854775808",
    "4,000 digits": "9" * 4_000,
}


@dataclass(frozen=True)
class Url:
    """A place in a URL: `target` has %s for the value."""

    target: str
    hostile: Mapping[str, str]
    repeated: bool = False  # given twice, which of both counts would be a guess
    body: bytes | None = None  # of a POST by the administrator; None: a GET by a trader

    def targets(self) -> Iterator[tuple[str, str]]:
        """What is wrong, and the target."""
        for what, text in self.hostile.items():
            yield f"{self.target}: {what}", self.target.replace("%s", text)
        if self.repeated:
            name = self.target.rpartition("?")[2].partition("=")[0]
            yield f"{self.target}: twice", self.target.replace("%s", "1") + f"&{name}=1"


_TRANSFER = b'{"id": "one", "amount": "1.00", "reason": "test"}'
URLS = (
    Url("/api/orders/%s", {**NO_NAMES_IN_URLS, "empty": ""}),
    Url("/api/orders?limit=%s", {**NO_NUMBERS_IN_URLS, "zero": "0", "501": "501"}, repeated=True),
    Url("/api/orders?before=%s", {**NO_NUMBERS_IN_URLS, "zero": "0"}, repeated=True),
    Url("/api/orders?symbol=%s", {**NO_NAMES_IN_URLS, "empty": ""}, repeated=True),
    Url("/ws?since=%s", NO_NUMBERS_IN_URLS, repeated=True),
    Url("/ws?symbols=%s", NO_NAMES_IN_URLS, repeated=True),
    Url("/ws?token=%s", {**NO_NAMES_IN_URLS, "empty": "", "4,000 dots": "." * 4_000}, repeated=True),
    Url("/api/events?since=%s", NO_NUMBERS_IN_URLS, repeated=True),
    Url("/api/events?limit=%s", {**NO_NUMBERS_IN_URLS, "zero": "0", "501": "501"}, repeated=True),
    Url("/api/admin/accounts/%s/revoke", {**NO_NUMBERS_IN_URLS, "zero": "0"}, body=b""),
    *(
        Url(f"/api/admin/accounts/%s/{what}", {**NO_NUMBERS_IN_URLS, "zero": "0"}, body=_TRANSFER)
        for what in ("deposits", "withdrawals")
    ),
)
PATHS = (
    "//[/ws",
    "//[",
    "/%",
    "/%2",
    "/api/%00",
    "/api//orders",
    "/api/orders/%2e%2e",
    "/ws/%00",
    "*",
    "/;",
    "/?",
)


def _token(header: bytes) -> bytes:
    """A token that has this text as its header."""
    return b"Bearer " + base64.urlsafe_b64encode(header).rstrip(b"=") + b".e30.AAAA"


# Values of the Authorization header which are no token of ours.
AUTHORIZATIONS: Mapping[str, bytes] = {
    "empty": b"",
    "no token": b"Bearer",
    "spaces": b"Bearer   ",
    "another scheme": b"Basic YWRtaW46YWRtaW4=",
    "not ASCII": b"Bearer \xff\xfe.\xe9.\xe9",
    "Arabic digits": "Bearer ٣.٣.٣".encode(),
    "dots": b"Bearer ..",
    "4,000 dots": b"Bearer " + b"." * 4_000,
    "a header 4,000 deep": _token(b"[" * 4_000),
    "a header of 5,000 digits": _token(b'{"alg":"HS256","kid":' + b"9" * 5_000 + b"}"),
    "a header that is a list": _token(b"[]"),
    "no algorithm": _token(b'{"alg":"none"}'),
    "an algorithm that is a list": _token(b'{"alg":["HS256"]}'),
    "a header with a surrogate": _token(rb'{"alg":"HS256","kid":"\ud800"}'),
    "a header with a NUL": _token(rb'{"alg":"HS256","kid":"\u0000"}'),
    "a header that is no UTF-8": _token(b"\xff\xfe"),
}

# Whole requests, or what their senders take for them.
RAW: Mapping[str, bytes] = {
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/9.9": b"GET /health HTTP/9.9\r\n\r\n",
    "a method nobody knows": b"STEAL /health HTTP/1.1\r\nhost: x\r\n\r\n",
    "CONNECT": b"CONNECT host:443 HTTP/1.1\r\nhost: x\r\n\r\n",
    "OPTIONS of everything": b"OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    "a path that is not ASCII": b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
    "a NUL in the path": b"GET /\x00 HTTP/1.1\r\nhost: x\r\n\r\n",
    "a NUL in a header": b"GET /api/account HTTP/1.1\r\nauthorization: Bearer \x00\r\n\r\n",
    "a header without a colon": b"GET /health HTTP/1.1\r\nhost\r\n\r\n",
    "a folded header": b"GET /health HTTP/1.1\r\nhost: x\r\n\ty\r\n\r\n",
    "two lengths": b"POST /api/login HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
    "a length and chunks": (
        b"POST /api/login HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "a negative length": b"POST /api/login HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
    "a length of 400 digits": b"POST /api/login HTTP/1.1\r\ncontent-length: " + b"9" * 400 + b"\r\n\r\n",
    "a length in Arabic digits": "POST /api/login HTTP/1.1\r\ncontent-length: ٣\r\n\r\n".encode(),
    "an unknown encoding": b"POST /api/login HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n{}",
    "a chunk without a length": b"POST /api/login HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    "a chunk of 2^64 bytes": b"POST /api/login HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n10000000000000000\r\n",
    "a URL of 20,000 bytes": b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
    "a header of 70,000 bytes": b"GET /health HTTP/1.1\r\nhost: x\r\na: " + b"x" * 70_000 + b"\r\n\r\n",
    "a header's name of 70,000 bytes": b"GET /health HTTP/1.1\r\nhost: x\r\n" + b"x" * 70_000 + b": a\r\n\r\n",
    "1,000 headers": b"GET /health HTTP/1.1\r\n" + b"a: b\r\n" * 1_000 + b"\r\n",
}


def _object(fields: Mapping[str, bytes]) -> bytes:
    return b"{%b}" % b", ".join(b'"%b": %b' % (name.encode(), text) for name, text in fields.items())
