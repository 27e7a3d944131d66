"""One HTTP/1.1 connection: parses requests, has them answered one after the other, and closes what is beyond a limit.

httptools parses. uvicorn accepts the connections, makes one of these for each, and tells all of them to end (ADR 0175).
What a client may send before it is known who it is, is bounded (ADR 0061). A request is handled when it is complete;
those behind it on the connection wait for its answer.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import structlog
from uvicorn import Config
from uvicorn.server import ServerState

from rtx_engine import metrics
from rtx_engine.api import response_bytes
from rtx_engine.api.client_address import limited_as
from rtx_engine.api.errors import RETRY, ApiError, ErrorReason, bad_request
from rtx_engine.api.exchange import Application, Exchange
from rtx_engine.api.http import CONNECTION, Response, Scope
from rtx_engine.api.limits import Account, Admission, Limits
from rtx_engine.api.request_parser import RequestParser, WebSocketOfferedError

_NEVER = float("inf")
MAX_PART_BYTES = 16 * 1024  # that are parsed at once: a read may have 256 KiB, thousands of headers
_HEADER_OBJECTS = 150  # bytes of a header besides its text: two bytes objects and their pair
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
        self._address = ""
        self._counted = False  # by `admission`
        self._account: Account | None = None  # for which the connection stays when others come
        self._asked_at = self._loop.time()  # of the last request, to a second
        self._asked = False  # since `check_time`
        # What is received.
        self._deaf = False  # nothing more is parsed: the connection was refused, or is a WebSocket's
        self._discarded_bytes = 0  # since then
        self._read_paused = False
        self._at_end = False  # the client has ended its side
        self._timed = 0  # the request for which `_deadline` is, by RequestParser.begun
        self._deadline = _NEVER  # event loop time at which the client must have sent what is due
        # What is answered.
        self._answering: Exchange | None = None
        self._waiting: deque[Exchange] = deque()  # complete, behind the one that is answered
        self._waiting_bytes = 0  # about
        self._last = False  # nothing follows what was received: the connection ends with the last answer
        self._write_paused = False  # the client does not read its answers
        self._answered_all = False  # the connection ends once the client has read them
        self._unread_since = _NEVER

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._state.connections.add(self)  # type: ignore[arg-type]  # uvicorn calls only its `shutdown`
        peer = transport.get_extra_info("peername")
        client = (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) else None
        takes_websockets = self._config.ws != "none"
        self._parser = RequestParser(self._limits, client, self._on_request, takes_websockets=takes_websockets)
        self._address = limited_as(client[0] if client else "")
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
        self._drop_waiting()
        self._answering = None  # its answer is for nobody
        self._admission.backlog.note(self, 0)

    def eof_received(self) -> bool:
        """Keep the connection of a client that only ended its own side, until it has its answers."""
        if not self._is_answering():
            return False
        self._at_end = self._deaf = True
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
        if self._deaf:
            self._discarded_bytes += len(data)
            if self._discarded_bytes > self._limits.discarded_bytes:
                self._transport.abort()
            return
        try:
            self._parser.feed(data)
        except ApiError as error:
            self._refuse(error)
        except WebSocketOfferedError as offer:
            self._hand_over(offer.head)
        else:
            if self._parser.is_amid:
                self._wait_for_rest()

    def _wait_for_rest(self) -> None:
        if self._timed != self._parser.begun:
            self._timed = self._parser.begun
            self._deadline = self._loop.time() + self._limits.request_seconds
        if not self._is_answering():
            self._tell_to_continue()

    def _on_request(self, scope: Scope, body: bytes | None, close: bool) -> None:
        """A request is complete. Raises ApiError if too many wait before it."""
        if self._account is None:
            scope[CONNECTION] = self  # for api/context.py
        self._deadline = _NEVER
        self._asked = True
        exchange = Exchange(self, scope, body, close=close)
        if self._answering is None and not self._write_paused:
            self._start(exchange)
        elif len(self._waiting) < self._limits.pipelined:
            self._waiting.append(exchange)
            self._waiting_bytes += _size(exchange)
            self._pause_reading()
            self._admission.backlog.note(self, self.unread_bytes)
        else:
            raise ApiError(429, ErrorReason.TOO_MANY_REQUESTS, "Too many requests wait on this connection.")

    def _hand_over(self, head: bytes) -> None:
        """From now on the connection is a WebSocket's, whose protocol counts it."""
        if self._is_answering():
            self._refuse(bad_request("A WebSocket begins once all earlier requests are answered."))
            return
        self._deaf = True
        self._release()
        self._admission.backlog.note(self, 0)
        self._state.connections.discard(self)
        make_protocol = cast("Callable[..., Any]", self._config.ws_protocol_class)
        protocol = make_protocol(config=self._config, server_state=self._state, app_state=self._app_state)
        protocol.connection_made(self._transport)
        protocol.data_received(head)
        self._transport.set_protocol(protocol)

    # uvicorn

    def shutdown(self) -> None:
        """End after the answers to all that has been received, at once if that is nothing."""
        self._last = True
        if not (self._is_answering() or self._is_amid() or self._deaf):
            self._transport.close()

    # answers

    def _is_amid(self) -> bool:
        """Whether the rest of a request is to come, and is waited for."""
        return not self._deaf and self._parser.is_amid

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
        follows = self._waiting or self._is_amid()
        close = exchange.close or response.close or ((self._last or self._deaf) and not follows)
        common = response_bytes.lines(tuple(self._state.default_headers))
        with_body = exchange.scope["method"] != "HEAD"
        self._transport.write(response_bytes.serialised(response, common, close=close, with_body=with_body))
        self._state.total_requests += 1
        self._answering = None
        if self._transport.get_write_buffer_size():  # now: a second's answers, unread, may be more memory than there is
            self._admission.backlog.note(self, self.unread_bytes)
            if self._transport.is_closing():
                return
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
            exchange = self._waiting.popleft()
            self._waiting_bytes -= _size(exchange)
            self._start(exchange)
            return
        if self._deadline < _NEVER and not self._deaf:
            # While the answer was due, reading was paused: the client's time begins again.
            self._deadline = self._loop.time() + self._limits.request_seconds
        self._tell_to_continue()
        self._resume_reading()

    def _tell_to_continue(self) -> None:
        """If the client waits for that, now that all its earlier requests are answered."""
        if not self._deaf and self._parser.takes_continue():
            self._transport.write(response_bytes.CONTINUE)

    def _end(self) -> None:
        """Close after what is written. Nothing else is answered."""
        self._drop_waiting()
        self._answered_all = True
        unread = self._deaf or self._read_paused or self._is_amid()
        if unread and not self._at_end:
            self._linger()
        else:
            self._deaf = True
            self._transport.close()

    def _linger(self) -> None:
        """Closing now would reset the connection of a client that is still sending: it would not see its answer."""
        self._deaf = True
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

    def _drop_waiting(self) -> None:
        self._waiting.clear()
        self._waiting_bytes = 0

    # limits

    @property
    def owner(self) -> Account:
        """For whom it counts in the budget of what clients leave unread."""
        return self._address if self._account is None else self._account

    @property
    def unread_bytes(self) -> int:
        """What the connection holds in memory until its client has read its answers."""
        return self._transport.get_write_buffer_size() + self._waiting_bytes

    def drop(self) -> None:
        """The pod needs the memory for others."""
        metrics.refusals(ErrorReason.TOO_SLOW).inc()
        self._transport.abort()

    def shown(self, account: Account) -> None:
        """A request of this connection has a valid token."""
        if self._account is None and self._counted and self._admission.shown(self._address, self, account):
            self._account = account

    def give_way(self) -> bool:
        """Close in favour of another connection, and free the place at once, unless an answer is due.

        Requests that wait until their client reads earlier answers have not begun, and never will.
        """
        if self._answering is not None or not self._counted:
            return False
        self._release()
        self._drop_waiting()
        if self._is_amid():
            self._refuse(ApiError(503, ErrorReason.TOO_MANY_CONNECTIONS, _GAVE_WAY, headers=RETRY))
        else:
            metrics.refusals(ErrorReason.TOO_MANY_CONNECTIONS).inc()
            if not self._deaf:  # else it ends already, and its client may still read why
                self._deaf = True
                self._transport.close()
            self._answered_all = False  # the end waits for no client that reads slowly
            self._deadline = min(self._deadline, self._loop.time() + self._limits.linger_seconds)
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
        unsent = self._transport.get_write_buffer_size()
        self._admission.backlog.note(self, unsent + self._waiting_bytes)
        if now > self._deadline:
            self._on_deadline(now, unsent)
        elif now > self._asked_at + self._limits.idle_seconds and not self._is_answering():
            self._transport.close()
        if not unsent:
            self._unread_since = _NEVER
        elif self._unread_since == _NEVER:
            self._unread_since = now
        elif now > self._unread_since + self._limits.unread_seconds:
            self._transport.abort()

    def _on_deadline(self, now: float, unsent: int) -> None:
        if self._is_amid():
            if not self._read_paused:
                seconds = self._limits.request_seconds
                message = f"The request was not complete after {seconds:.0f} seconds."
                self._refuse(ApiError(408, ErrorReason.TOO_SLOW, message))
        elif self._answered_all and unsent:  # an answer that is read slowly is still read
            self._deadline = now + self._limits.linger_seconds
        else:
            self._transport.abort()

    def _refuse(self, error: ApiError) -> None:
        """Answer `error` and close; only close if the client waits for the answer to an earlier request."""
        self._deaf = True
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


def _size(exchange: Exchange) -> int:
    """About what a request takes in memory, in bytes."""
    headers = exchange.scope["headers"]
    return len(exchange.body or b"") + sum(len(name) + len(value) + _HEADER_OBJECTS for name, value in headers)


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
