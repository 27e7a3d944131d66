"""One HTTP/1.1 connection: uvicorn's, with limits on what a client may send before it is known who it is.

uvicorn bounds neither the URL and the headers, nor the time to send a request, nor pipelined requests, and it loses the
body of a request that offers to upgrade to HTTP/2 (ADR 0061). This subclasses its private protocol, and is therefore
pinned with it: test_http_protocol.py must pass before uvicorn or httptools is upgraded.
"""

import asyncio
from http import HTTPStatus
from typing import Any

import httptools
import structlog
from uvicorn import Config
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from rtx_engine import metrics
from rtx_engine.api.client_address import limited_as
from rtx_engine.api.errors import RETRY, ApiError, ErrorReason, bad_request, too_large
from rtx_engine.api.http import CONNECTION
from rtx_engine.api.limits import Account, Admission, Limits
from rtx_engine.api.whole_responses import WholeResponses

# Of an upgrade offer that is ignored; `connection` keeps its other words.
_OFFER_HEADERS = frozenset({b"upgrade", b"http2-settings"})
_NEVER = float("inf")
MAX_PART_BYTES = 16 * 1024  # that are parsed at once: a read may have 256 KiB, thousands of headers
_GAVE_WAY = "This server needs the connection for others: send the request again."

log = structlog.get_logger(__name__)


class BoundedProtocol(HttpToolsProtocol):
    """Refuses what is beyond the limits with an answer of ours, and closes the connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: Limits,
        admission: Admission,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits
        self._admission = admission
        self._address = ""
        self._counted = False  # by `admission`
        self._account: Account | None = None  # for which the connection stays when others come
        self._asked_at = 0.0  # event loop time of the last request
        self._answering: RequestResponseCycle | None = None  # `cycle` is the newest
        self._refusal: ApiError | None = None  # why the parser was stopped in a callback
        self._deaf = False  # nothing more is parsed: the connection was refused, or is a WebSocket's
        self._upgrade_ignored = False
        # The request that is being received. Bytes are counted from the first read after its first byte.
        self._in_head = False
        self._in_body = False
        self._received_bytes = 0
        self._trailers = 0
        self._trailer_bytes = 0  # from the first read after a chunk's length; 0 again with each byte of the body
        self._in_chunk = False  # of the body: its length is known
        self._deadline = _NEVER  # event loop time at which the client must have sent what is due
        self._unread_since = _NEVER

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base class
        super().connection_made(transport)
        self._responses = WholeResponses(transport)
        self._address = limited_as(self.client[0] if self.client else "")
        self._deadline = self.loop.time() + self._limits.first_byte_seconds
        refusal = self._admission.refusal(self._address)
        if refusal is not None:
            self._refuse(refusal)
            return
        self._admission.opened(self._address, self)
        self._counted = True

    def connection_lost(self, exc: Exception | None) -> None:
        self._release()
        if self._answering is not None and not self._answering.response_complete:
            self._answering.disconnected = True  # or its answer would be an error of ours
            self._answering.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if len(data) <= MAX_PART_BYTES:
            self._receive(data)
            return
        for start in range(0, len(data), MAX_PART_BYTES):
            self._receive(data[start : start + MAX_PART_BYTES])

    def _receive(self, data: bytes) -> None:
        self._received_bytes += len(data)
        if self._deaf:
            if self._received_bytes > self._limits.discarded_bytes:
                self.transport.abort()
            return
        if self._in_chunk:
            self._trailer_bytes += len(data)
        self._parse(data)
        limits = self._limits
        too_large_head = self._in_head and self._received_bytes > limits.url_bytes + limits.header_bytes
        if too_large_head or (self._in_body and self._trailer_bytes > limits.header_bytes):
            self._refuse(self._too_many_header_bytes())
        elif self._in_body and self._received_bytes > limits.discarded_bytes:
            self._refuse(too_large(limits.body_bytes))

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            if not self._should_upgrade():
                self._parse_without_upgrade(data[offer.args[0] :])
            elif self.pipeline or self._waits_for_answer():
                self._refuse(bad_request("A WebSocket begins once all earlier requests are answered."))
            else:
                self.handle_websocket_upgrade()
        except httptools.HttpParserError:
            self._refuse(self._refusal or bad_request("The request is not HTTP/1.1: check the request line, headers."))

    def _parse_without_upgrade(self, rest: bytes) -> None:
        """Parse the request again without its offer, which llhttp takes for the end of HTTP on this connection."""
        self._upgrade_ignored = False
        if self.scope["method"] == "CONNECT":
            self._refuse(bad_request("CONNECT is not supported: this server is no proxy."))
            return
        lines = [b"%b %b HTTP/%b" % (self.scope["method"].encode(), self.url, self.scope["http_version"].encode())]
        for name, value in self.headers:
            if name == b"connection":
                kept = [word for word in value.split(b",") if word.strip().lower() not in _OFFER_HEADERS]
                lines.append(b"connection: " + b",".join(kept))
            elif name not in _OFFER_HEADERS:
                lines.append(name + b": " + value)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as the base class does
        self._parse(b"\r\n".join([*lines, b"", b""]) + rest)

    # httptools

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._received_bytes = 0
        self._trailers = self._trailer_bytes = 0
        self._in_chunk = False
        self._asked_at = self.loop.time()
        self._deadline = self._asked_at + self._limits.request_seconds
        if self._account is None:
            self.scope[CONNECTION] = self  # type: ignore[literal-required]  # for api/context.py

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            super().on_header(name, value)
            return
        # A trailer. Nobody asks for any, and as a header it would count like one that a proxy has seen.
        self._trailers += 1
        if len(self.headers) + self._trailers > self._limits.headers:
            self._refusal = self._too_many_headers()
            raise self._refusal  # stops the parser

    def on_headers_complete(self) -> None:
        self._in_head = False
        refusal = self._refusal_of_head()
        if refusal is not None:
            self._refusal = refusal
            raise refusal  # stops the parser
        if self.parser.should_upgrade() and not self._should_upgrade():
            self.scope["method"] = self.parser.get_method().decode("ascii")
            self.scope["http_version"] = self.parser.get_http_version()
            self._upgrade_ignored = True
            return
        super().on_headers_complete()
        if self.cycle is not None:  # as it is when a connection begins with a WebSocket
            self.cycle.transport = self._responses  # type: ignore[assignment]  # it only writes and closes
        self._in_body = True

    def _refusal_of_head(self) -> ApiError | None:
        """Why the request is refused whose head is complete; None if it is not."""
        limits = self._limits
        if len(self.url) > limits.url_bytes:
            return ApiError(414, ErrorReason.URL_TOO_LONG, f"The URL has more than {limits.url_bytes} bytes.")
        if len(self.headers) > limits.headers:
            return self._too_many_headers()
        size = 0
        for name, value in self.headers:
            size += len(name) + len(value)
            if name == b"content-length" and int(value) > limits.discarded_bytes:  # digits: llhttp has checked
                return too_large(limits.body_bytes)
        if size > limits.header_bytes:
            return self._too_many_header_bytes()
        if len(self.pipeline) >= limits.pipelined:
            return ApiError(429, ErrorReason.TOO_MANY_REQUESTS, "Too many requests wait on this connection.")
        return None

    def on_chunk_header(self) -> None:
        self._in_chunk = True

    def on_body(self, body: bytes) -> None:
        self._in_chunk = False
        self._trailer_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._upgrade_ignored:
            return
        self._in_body = False
        self._deadline = _NEVER
        super().on_message_complete()

    # uvicorn

    def handle_websocket_upgrade(self) -> None:
        self._deaf = True
        self._release()  # the stream's protocol counts the connection from here on
        super().handle_websocket_upgrade()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        self._responses.complete()
        if self._deaf and not self.pipeline:
            self.transport.close()  # all that came before the refused request is answered
            return
        if self._deadline < _NEVER:
            # While the answer was due, reading was paused: the client's time begins again.
            self._deadline = self.loop.time() + self._limits.request_seconds
        super().on_response_complete()

    # ours

    def shown(self, account: Account) -> None:
        """A request of this connection has a valid token."""
        if self._account is None and self._counted and self._admission.shown(self._address, self, account):
            self._account = account

    def give_way(self) -> bool:
        """Close in favour of another connection, and free the place at once, unless an answer is due."""
        if self._deaf or self.pipeline or self._waits_for_answer():
            return False
        self._release()
        if self._in_head or self._in_body:
            self._refuse(ApiError(503, ErrorReason.TOO_MANY_CONNECTIONS, _GAVE_WAY, headers=RETRY))
        else:
            metrics.refusals(ErrorReason.TOO_MANY_CONNECTIONS).inc()
            self._deaf = True
            self._deadline = self.loop.time() + self._limits.linger_seconds
            self.transport.close()
        return True

    def check_time(self, now: float) -> None:
        """Close the connection if its client sends or reads too slowly. Called about once a second."""
        if self._account is not None and now > self._asked_at + self._limits.known_seconds:
            self._admission.forgotten(self._address, self, self._account)
            self._account = None
        if now > self._deadline and (self._deaf or not self.flow.read_paused):
            if self._deaf or not (self._in_head or self._in_body):
                self.transport.abort()
            else:
                seconds = self._limits.request_seconds
                self._refuse(
                    ApiError(408, ErrorReason.TOO_SLOW, f"The request was not complete after {seconds:.0f} seconds.")
                )
        if not self.transport.get_write_buffer_size():
            self._unread_since = _NEVER
        elif self._unread_since == _NEVER:
            self._unread_since = now
        elif now > self._unread_since + self._limits.unread_seconds:
            self.transport.abort()

    def _refuse(self, error: ApiError) -> None:
        """Answer `error` and close; only close if the client waits for the answer to an earlier request."""
        self._deaf = True
        self._received_bytes = 0
        self._deadline = self.loop.time() + self._limits.linger_seconds
        queued = self._in_body and bool(self.pipeline)
        if queued:
            self.pipeline.popleft()  # the refused request itself
        if queued or self._waits_for_answer():
            self._deadline = _NEVER  # on_response_complete closes
            self.flow.pause_reading()
            return
        if self.transport.is_closing():
            return
        if self._in_body:  # its handler waits for the rest of the body
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        metrics.REQUESTS_BY_CLASS[error.status // 100].inc()
        metrics.refusals(error.reason).inc()
        self.transport.write(_serialised(error))
        # Closing now would reset the connection of a client that is still sending, and it would not see the answer.
        self.transport.write_eof()

    def _waits_for_answer(self) -> bool:
        """Whether an answer is due that is not that of the request being received, or has begun."""
        if self.cycle is None or self.cycle.response_complete:
            return False
        return not self._in_body or self.cycle.response_started

    def _release(self) -> None:
        if self._counted:
            self._counted = False
            self._admission.closed(self._address, self, self._account)
            self._account = None

    def _too_many_headers(self) -> ApiError:
        return ApiError(431, ErrorReason.HEADERS_TOO_LARGE, f"There are more than {self._limits.headers} headers.")

    def _too_many_header_bytes(self) -> ApiError:
        return ApiError(
            431, ErrorReason.HEADERS_TOO_LARGE, f"The headers have more than {self._limits.header_bytes} bytes."
        )


async def check_times(state: ServerState, interval_seconds: float = 1.0) -> None:
    """Close slow connections until cancelled. One timer for all: one for each request would cost more."""
    now = asyncio.get_running_loop().time
    while True:
        await asyncio.sleep(interval_seconds)
        for connection in list(state.connections):
            if isinstance(connection, BoundedProtocol):
                try:
                    connection.check_time(now())
                except Exception:  # one connection must not end the pod
                    log.exception("cannot check a connection")
                    connection.transport.abort()


def _serialised(error: ApiError) -> bytes:
    body = error.body()
    lines = [
        b"HTTP/1.1 %d %b" % (error.status, HTTPStatus(error.status).phrase.encode()),
        b"content-type: application/json",
        b"content-length: %d" % len(body),
        b"connection: close",
        *(name + b": " + value for name, value in error.headers),
    ]
    return b"\r\n".join([*lines, b"", body])
