"""Takes requests from the bytes of a connection, within the limits on what they may have. Does no I/O.

httptools parses, and calls the methods that begin with `on_`.
"""

from collections.abc import Callable

import httptools

from rtx_engine.api import request_heads
from rtx_engine.api.errors import ApiError, bad_request, too_large
from rtx_engine.api.http import FIRST_HEADERS, Scope
from rtx_engine.api.limits import Limits

MAX_PIECES = 64  # of a body as it comes: a chunk of two bytes takes twenty times as many in memory

Client = tuple[str, int]
# Gets a complete request: its scope, its body (None: larger than Limits.body_bytes), and whether the connection ends
# after its answer. May raise ApiError.
OnRequest = Callable[[Scope, bytes | None, bool], None]


class WebSocketOfferedError(Exception):
    """The client wants to go on as a WebSocket. `head` is its request."""

    def __init__(self, head: bytes) -> None:
        super().__init__()
        self.head = head


class RequestParser:
    """Of one connection."""

    def __init__(self, limits: Limits, client: Client | None, on_request: OnRequest, *, takes_websockets: bool) -> None:
        self._limits = limits
        self._client = client
        self._on_request = on_request
        self._takes_websockets = takes_websockets
        self._parser = self._new_parser()
        self._refusal: ApiError | None = None  # why the parser was stopped in a callback
        self._upgrade: bool | None = None  # what is offered: a WebSocket; False: another protocol, which is ignored
        # The request that is being received. Bytes are counted from the first read after its first byte.
        self.begun = 0  # requests until now
        self._in_head = False
        self._in_body = False
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._scope: Scope = {}
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._close = False
        self._expects_continue = False
        self._read_bytes = 0  # of the read that is being parsed
        self._received_bytes = 0
        self._trailers = 0
        self._trailer_bytes = 0  # from the first read after a chunk's length; 0 again with each byte of the body
        self._in_chunk = False  # of the body: its length is known

    @property
    def is_amid(self) -> bool:
        """Whether a part of a request has come, and not all of it."""
        return self._in_head or self._in_body

    def feed(self, data: bytes) -> None:
        """Parse what was read. Raises ApiError (a refusal), WebSocketOfferedError; nothing may be fed after these."""
        size = self._read_bytes = len(data)
        self._received_bytes += size
        if self._in_chunk:
            self._trailer_bytes += size
        self._parse(data)
        if self._in_head or self._in_body:
            self._check_size()

    def takes_continue(self) -> bool:
        """Whether the client waits to be told to go on; true once for a request."""
        waits = self._expects_continue and self._in_body
        if waits:
            self._expects_continue = False
        return waits

    def _check_size(self) -> None:
        """Of a request that is not complete."""
        limits = self._limits
        too_large_head = self._in_head and self._received_bytes > limits.url_bytes + limits.header_bytes
        if too_large_head or (self._in_body and self._trailer_bytes > limits.header_bytes):
            raise request_heads.too_many_header_bytes(limits)
        if self._in_body and self._received_bytes > limits.discarded_bytes:
            raise too_large(limits.body_bytes)

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            if self._upgrade:
                head = request_heads.serialised(self._parser.get_method(), self._url, self._headers)
                raise WebSocketOfferedError(head) from None
            self._parse_without_offer(data[offer.args[0] :])
        except httptools.HttpParserError:
            problem = self._refusal or bad_request("The request is not HTTP/1.1: check the request line, headers.")
            raise problem from None

    def _parse_without_offer(self, rest: bytes) -> None:
        """Parse the request again without its offer, which llhttp takes for the end of HTTP on this connection."""
        method = self._parser.get_method()
        if method == b"CONNECT":
            raise bad_request("CONNECT is not supported: this server is no proxy.")
        head = request_heads.without_offer(method, self._url, self._parser.get_http_version(), self._headers)
        self._parser = self._new_parser()
        self._parse(head + rest)

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        # What follows a request with `connection: close` is not handled; it must not keep that one from its answer.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    # httptools

    def on_message_begin(self) -> None:
        self.begun += 1
        self._in_head = True
        self._url = b""
        self._headers = []
        self._received_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            self._headers.append((name.lower(), value))
        else:
            # A trailer. Nobody asks for any, and as a header it would count like one that a proxy has seen.
            self._trailers += 1
        # Not only once all have come: a header takes up to 25 times as many bytes in memory as on its way.
        if len(self._headers) + self._trailers > self._limits.headers:
            self._stop(request_heads.too_many_headers(self._limits))

    def on_headers_complete(self) -> None:
        headers, parser, limits = self._headers, self._parser, self._limits
        first = dict(reversed(headers))
        is_short = not self._received_bytes and self._read_bytes <= limits.header_bytes
        refusal = request_heads.refusal(self._url, headers, first, limits, is_short=is_short)
        if refusal is not None:
            self._stop(refusal)
        self._in_head = False
        self._upgrade = None
        if parser.should_upgrade():
            self._upgrade = self._takes_websockets and request_heads.offers_websocket(headers)
            return
        path, written_path, query = request_heads.target(self._url)
        self._close = not parser.should_keep_alive()
        self._expects_continue = False
        if b"connection" in first or b"expect" in first:
            is_1_0 = parser.get_http_version() == "1.0"
            self._close = self._close or is_1_0
            self._expects_continue = not is_1_0 and first.get(b"expect", b"").lower() == b"100-continue"
        self._scope = {
            "method": parser.get_method().decode("ascii"),
            "path": path,
            "raw_path": written_path,
            "query_string": query,
            "headers": headers,
            "client": self._client,
            FIRST_HEADERS: first,
        }
        self._in_body = True

    def on_chunk_header(self) -> None:
        self._in_chunk = True

    def on_body(self, body: bytes) -> None:
        if self._in_chunk:
            self._in_chunk = False
            self._trailer_bytes = 0
        self._body_bytes += len(body)
        if self._body_bytes <= self._limits.body_bytes:
            self._body.append(body)
            if len(self._body) > MAX_PIECES:
                self._body = [b"".join(self._body)]

    def on_message_complete(self) -> None:
        if self._upgrade is not None:
            return
        self._in_body = False
        pieces, size = self._body, self._body_bytes
        body: bytes | None = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if size:
            self._body, self._body_bytes = [], 0
            if size > self._limits.body_bytes:
                body = None
        if self._in_chunk:
            self._in_chunk = False
            self._trailers = self._trailer_bytes = 0
            # A trailer may ask for it, too: llhttp parses nothing more then, and what follows would have no answer.
            self._close = self._close or not self._parser.should_keep_alive()
        try:
            self._on_request(self._scope, body, self._close)
        except ApiError as error:
            self._stop(error)

    def _stop(self, refusal: ApiError) -> None:
        """From a callback: `feed` raises it."""
        self._refusal = refusal
        raise refusal
