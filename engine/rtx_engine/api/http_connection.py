"""One HTTP/1.1 connection: parses requests, has them answered one after the other, and closes what is beyond a limit.

httptools parses. uvicorn accepts the connections, makes one of these for each, and tells all of them to end (ADR 0175).
What a client may send before it is known who it is, is bounded (ADR 0061). A request is handled when it is complete;
those behind it on the connection wait for its answer.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import httptools
import structlog
from uvicorn import Config
from uvicorn.server import ServerState

from rtx_engine import metrics
from rtx_engine.api import request_heads, response_bytes
from rtx_engine.api.client_address import limited_as
from rtx_engine.api.errors import RETRY, ApiError, ErrorReason, bad_request, too_large
from rtx_engine.api.exchange import Application, Exchange
from rtx_engine.api.http import CONNECTION, FIRST_HEADERS, Response, Scope
from rtx_engine.api.limits import Account, Admission, Limits

_NEVER = float("inf")
MAX_PART_BYTES = 16 * 1024  # that are parsed at once: a read may have 256 KiB, thousands of headers
_GAVE_WAY = "This server needs the connection for others: send the request again."

log = structlog.get_logger(__name__)


class HttpConnection(asyncio.Protocol):
    """Refuses what is beyond the limits with an answer of ours, and closes the connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        application: Application,
        limits: Limits,
        admission: Admission,
    ) -> None:
        """`config`, `server_state`, `app_state`, `_loop`: as uvicorn names them."""
        self._application = application
        self._config = config
        self._state = server_state
        self.tasks = server_state.tasks
        self._app_state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._limits = limits
        self._admission = admission
        self._parser = self._new_parser()
        self._client: tuple[str, int] | None = None
        self._address = ""
        self._counted = False  # by `admission`
        self._account: Account | None = None  # for which the connection stays when others come
        self._asked_at = self._loop.time()  # of the last request, to a second
        self._asked = False  # since `check_time`
        # What is answered.
        self._answering: Exchange | None = None
        self._waiting: deque[Exchange] = deque()  # complete, behind the one that is answered
        self._last = False  # nothing follows what was received: the connection ends with the last answer
        self._at_end = False  # the client has ended its side
        self._read_paused = False
        self._write_paused = False  # the client does not read its answers
        self._unread_since = _NEVER
        # The request that is being received. Bytes are counted from the first read after its first byte.
        self._in_head = False
        self._in_body = False
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._scope: Scope = {}
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._expects_continue = False
        self._close = False
        self._part_bytes = 0  # of the read, or the part of it, that is being parsed
        self._received_bytes = 0
        self._trailers = 0
        self._trailer_bytes = 0  # from the first read after a chunk's length; 0 again with each byte of the body
        self._in_chunk = False  # of the body: its length is known
        self._timed = False  # `_deadline` is that of this request
        self._deadline = _NEVER  # event loop time at which the client must have sent what is due
        self._refusal: ApiError | None = None  # why the parser was stopped in a callback
        self._deaf = False  # nothing more is parsed: the connection was refused, or is a WebSocket's
        self._upgrade: bool | None = None  # what is offered: a WebSocket; False: another protocol, which is ignored

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._state.connections.add(self)  # type: ignore[arg-type]  # uvicorn calls only its `shutdown`
        peer = transport.get_extra_info("peername")
        self._client = (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) else None
        self._address = limited_as(self._client[0] if self._client else "")
        self._deadline = self._loop.time() + self._limits.first_byte_seconds
        refusal = self._admission.refusal(self._address)
        if refusal is not None:
            self._refuse(refusal)
            return
        self._admission.opened(self._address, self)
        self._counted = True

    def connection_lost(self, _: Exception | None) -> None:
        self._state.connections.discard(self)
        self._release()
        self._deaf = True
        self._waiting.clear()
        self._answering = None  # its answer is for nobody

    def eof_received(self) -> bool:
        """Keep the connection of a client that only ended its own side, until it has its answers."""
        if not self._is_answering():
            return False
        self._at_end = self._deaf = True
        self._in_head = self._in_body = False
        self._deadline = _NEVER
        return True

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._answering is None:
            self._go_on()

    def data_received(self, data: bytes) -> None:
        if len(data) <= MAX_PART_BYTES:
            self._receive(data)
            return
        for start in range(0, len(data), MAX_PART_BYTES):
            self._receive(data[start : start + MAX_PART_BYTES])

    def _receive(self, data: bytes) -> None:
        size = self._part_bytes = len(data)
        self._received_bytes += size
        if self._deaf:
            if self._received_bytes > self._limits.discarded_bytes:
                self._transport.abort()
            return
        if self._in_chunk:
            self._trailer_bytes += size
        self._parse(data)
        if (self._in_head or self._in_body) and not self._deaf:
            self._wait_for_rest()

    def _wait_for_rest(self) -> None:
        """Of the request that is being received; refuse it if it is too large already."""
        limits = self._limits
        too_large_head = self._in_head and self._received_bytes > limits.url_bytes + limits.header_bytes
        if too_large_head or (self._in_body and self._trailer_bytes > limits.header_bytes):
            self._refuse(request_heads.too_many_header_bytes(limits))
        elif self._in_body and self._received_bytes > limits.discarded_bytes:
            self._refuse(too_large(limits.body_bytes))
        else:
            if not self._timed:
                self._timed = True
                self._deadline = self._loop.time() + limits.request_seconds
            if not self._is_answering():
                self._tell_to_continue()

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            if not self._upgrade:
                self._parse_without_offer(data[offer.args[0] :])
            elif self._is_answering():
                self._refuse(bad_request("A WebSocket begins once all earlier requests are answered."))
            else:
                self._hand_over()
        except httptools.HttpParserError:
            self._refuse(self._refusal or bad_request("The request is not HTTP/1.1: check the request line, headers."))

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        # What follows a request with `connection: close` is not handled; it must not keep that one from its answer.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def _parse_without_offer(self, rest: bytes) -> None:
        """Parse the request again without its offer, which llhttp takes for the end of HTTP on this connection."""
        method = self._parser.get_method()
        if method == b"CONNECT":
            self._refuse(bad_request("CONNECT is not supported: this server is no proxy."))
            return
        head = request_heads.without_offer(method, self._url, self._parser.get_http_version(), self._headers)
        self._parser = self._new_parser()
        self._parse(head + rest)

    def _hand_over(self) -> None:
        """From now on the connection is a WebSocket's, whose protocol counts it."""
        self._deaf = True
        self._in_head = False
        self._release()
        self._state.connections.discard(self)
        make_protocol = cast("Callable[..., Any]", self._config.ws_protocol_class)
        protocol = make_protocol(config=self._config, server_state=self._state, app_state=self._app_state)
        protocol.connection_made(self._transport)
        protocol.data_received(request_heads.serialised(self._parser.get_method(), self._url, self._headers))
        self._transport.set_protocol(protocol)

    # httptools

    def on_message_begin(self) -> None:
        self._in_head = True
        self._url = b""
        self._headers = []
        self._received_bytes = 0
        self._timed = False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            self._headers.append((name.lower(), value))
            return
        # A trailer. Nobody asks for any, and as a header it would count like one that a proxy has seen.
        self._trailers += 1
        if len(self._headers) + self._trailers > self._limits.headers:
            self._refusal = request_heads.too_many_headers(self._limits)
            raise self._refusal  # stops the parser

    def on_headers_complete(self) -> None:
        self._in_head = False
        headers, parser = self._headers, self._parser
        first = dict(reversed(headers))
        is_short = not self._received_bytes and self._part_bytes <= self._limits.header_bytes
        refusal = request_heads.refusal(self._url, headers, first, self._limits, is_short=is_short)
        if refusal is None and len(self._waiting) >= self._limits.pipelined:
            message = "Too many requests wait on this connection."
            refusal = ApiError(429, ErrorReason.TOO_MANY_REQUESTS, message)
        if refusal is not None:
            self._refusal = refusal
            raise refusal  # stops the parser
        self._upgrade = None
        if parser.should_upgrade():
            self._upgrade = request_heads.offers_websocket(headers) and self._config.ws_protocol_class is not None
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
        if self._account is None:
            self._scope[CONNECTION] = self  # for api/context.py
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

    def on_message_complete(self) -> None:
        if self._upgrade is not None:
            return
        self._in_body = False
        self._deadline = _NEVER
        self._asked = True
        body: bytes | None = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        if self._body_bytes > self._limits.body_bytes:
            body = None
        if self._body:
            self._body.clear()
        self._body_bytes = 0
        if self._in_chunk:
            self._in_chunk = False
            self._trailers = self._trailer_bytes = 0
        exchange = Exchange(self, self._scope, body, close=self._close)
        if self._answering is None and not self._write_paused:
            self._start(exchange)
        else:
            self._waiting.append(exchange)
            self._pause_reading()

    # uvicorn

    def shutdown(self) -> None:
        """End after the answers to all that has been received, at once if that is nothing."""
        self._last = True
        if not (self._is_answering() or self._in_head or self._in_body or self._deaf):
            self._transport.close()

    # answers

    def _is_answering(self) -> bool:
        return self._answering is not None or bool(self._waiting)

    def _start(self, exchange: Exchange) -> None:
        self._answering = exchange
        try:
            self._application.begin(exchange)
        except Exception as error:  # noqa: BLE001  # logged by `fail`
            exchange.fail(error)

    def answered(self, exchange: Exchange, response: Response) -> None:
        """Send the response to the request that is answered, and go on with the next one."""
        if self._answering is not exchange or self._transport.is_closing():
            return  # the client has gone
        follows = self._waiting or self._in_head or self._in_body
        close = exchange.close or response.close or ((self._last or self._deaf) and not follows)
        common = response_bytes.lines(tuple(self._state.default_headers))
        with_body = exchange.scope["method"] != "HEAD"
        self._transport.write(response_bytes.serialised(response, common, close=close, with_body=with_body))
        self._state.total_requests += 1
        self._answering = None
        if close:
            self._end()
        else:
            self._go_on()

    def failed(self, exchange: Exchange) -> None:
        if self._answering is exchange:
            self._transport.abort()

    def _go_on(self) -> None:
        """Answer the next request, or read on if none waits."""
        if self._write_paused or self._transport.is_closing():
            return
        if self._waiting:
            self._start(self._waiting.popleft())
            return
        if self._deadline < _NEVER:
            # While the answer was due, reading was paused: the client's time begins again.
            self._deadline = self._loop.time() + self._limits.request_seconds
        self._tell_to_continue()
        self._resume_reading()

    def _tell_to_continue(self) -> None:
        """If the client waits for that, now that all its earlier requests are answered."""
        if self._expects_continue and self._in_body:
            self._expects_continue = False
            self._transport.write(response_bytes.CONTINUE)

    def _end(self) -> None:
        """Close after what is written. Nothing else is answered."""
        self._waiting.clear()
        unread = self._deaf or self._read_paused or self._in_head or self._in_body
        if unread and not self._at_end:
            self._linger()
        else:
            self._deaf = True
            self._transport.close()

    def _linger(self) -> None:
        """Closing now would reset the connection of a client that is still sending: it would not see its answer."""
        self._deaf = True
        self._received_bytes = 0
        self._deadline = self._loop.time() + self._limits.linger_seconds
        self._transport.write_eof()
        self._resume_reading()

    def _pause_reading(self) -> None:
        if not self._read_paused and not self._transport.is_closing():
            self._read_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._read_paused and not self._transport.is_closing():
            self._read_paused = False
            self._transport.resume_reading()

    # limits

    def shown(self, account: Account) -> None:
        """A request of this connection has a valid token."""
        if self._account is None and self._counted and self._admission.shown(self._address, self, account):
            self._account = account

    def give_way(self) -> bool:
        """Close in favour of another connection, and free the place at once, unless an answer is due."""
        if self._deaf or self._is_answering():
            return False
        self._release()
        if self._in_head or self._in_body:
            self._refuse(ApiError(503, ErrorReason.TOO_MANY_CONNECTIONS, _GAVE_WAY, headers=RETRY))
        else:
            metrics.refusals(ErrorReason.TOO_MANY_CONNECTIONS).inc()
            self._deaf = True
            self._deadline = self._loop.time() + self._limits.linger_seconds
            self._transport.close()
        return True

    def abort(self) -> None:
        """End the connection at once."""
        self._transport.abort()

    def check_time(self, now: float) -> None:
        """Close the connection if its client sends or reads too slowly. Called about once a second."""
        if self._asked:
            self._asked, self._asked_at = False, now
        if self._account is not None and now > self._asked_at + self._limits.known_seconds:
            self._admission.forgotten(self._address, self, self._account)
            self._account = None
        if now > self._deadline and (self._deaf or not self._read_paused):
            if self._deaf or not (self._in_head or self._in_body):
                self._transport.abort()
            else:
                seconds = self._limits.request_seconds
                self._refuse(
                    ApiError(408, ErrorReason.TOO_SLOW, f"The request was not complete after {seconds:.0f} seconds.")
                )
        elif now > self._asked_at + self._limits.idle_seconds and not self._is_answering():
            self._transport.close()
        if not self._transport.get_write_buffer_size():
            self._unread_since = _NEVER
        elif self._unread_since == _NEVER:
            self._unread_since = now
        elif now > self._unread_since + self._limits.unread_seconds:
            self._transport.abort()

    def _refuse(self, error: ApiError) -> None:
        """Answer `error` and close; only close if the client waits for the answer to an earlier request."""
        self._deaf = True
        self._in_head = self._in_body = False
        self._body.clear()
        if self._is_answering():
            self._deadline = _NEVER  # the connection ends after those answers
            self._pause_reading()
            return
        if self._transport.is_closing():
            return
        metrics.REQUESTS_BY_CLASS[error.status // 100].inc()
        metrics.refusals(error.reason).inc()
        self._transport.write(response_bytes.refusal(error))
        self._linger()

    def _release(self) -> None:
        if self._counted:
            self._counted = False
            self._admission.closed(self._address, self, self._account)
            self._account = None


async def check_times(state: ServerState, interval_seconds: float = 1.0) -> None:
    """Close slow connections until cancelled. One timer for all: one for each request would cost more."""
    now = asyncio.get_running_loop().time
    while True:
        await asyncio.sleep(interval_seconds)
        for connection in list(state.connections):
            if isinstance(connection, HttpConnection):
                try:
                    connection.check_time(now())
                except Exception:  # one connection must not end the pod
                    log.exception("cannot check a connection")
                    connection.abort()
