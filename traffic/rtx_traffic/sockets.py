"""The WebSocket clients: each follows its account's stream and resumes it after a disconnect."""

import asyncio
import random
from collections.abc import Callable

import msgspec
from picows import WSCloseCode, WSError, WSFrame, WSHandshakeError, WSListener, WSMsgType, WSTransport, ws_connect

from .connection import VERSION_HEADER, Target
from .ledger import Failure, Kind, Lane, Record, Request, SocketClosed, SocketEvent, SocketOpened, SocketStarted
from .sessions import Session

HANDSHAKE_DEADLINE_SECONDS = 5.0
# A node that loses its network closes no connection, and TCP tries for minutes. Both together find that in 10 s.
PING_AFTER_SECONDS = 5.0  # in which nothing was received
PONG_DEADLINE_SECONDS = 5.0
MAX_RECONNECT_JITTER_SECONDS = 0.2  # spreads the reconnects after a disconnect
MIN_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.05, 2.0  # between failed handshakes, doubled each time
_TICK = b'{"type":"tick"'  # most messages are ticks, which are not recorded, so they are not parsed


class _Message(msgspec.Struct):
    type: str
    sequence: int = 0
    colour: str = ""
    account_id: int | str = ""  # of a hello
    client_order_id: str = ""  # of an order


_decoder = msgspec.json.Decoder(_Message)


class Socket:
    """One client, across its reconnects."""

    def __init__(
        self,
        *,
        number: int,
        session: Session,
        target: Target,
        symbol: str,
        clock: Callable[[], float],
        record: Callable[[Record], None],
    ) -> None:
        self.number = number
        self.account_id = session.account_id
        self.sequence: int | None = None  # of the last event received
        self.up = asyncio.Event()
        self.hello_received = asyncio.Event()  # set by the first hello
        self.clock = clock
        self.record = record
        self._host = target.host
        self._session = session
        self._transport: WSTransport | None = None
        session.on_renewal(self._continue)
        self._url = f"ws://{target.address}:{target.port}/ws?symbols={symbol}"

    async def run(self) -> None:
        """Stay connected until cancelled."""
        self.record(SocketStarted(self.number, self.account_id, self.clock()))
        wait = MIN_BACKOFF_SECONDS
        while True:
            transport = await self._open()
            if transport:
                wait = MIN_BACKOFF_SECONDS
                self._transport = transport
                self.up.set()
                try:
                    await transport.wait_disconnected()
                finally:
                    self.up.clear()
                    self._transport = None
                    transport.disconnect(graceful=False)
                await asyncio.sleep(random.uniform(0, MAX_RECONNECT_JITTER_SECONDS))  # noqa: S311  spreads reconnects, not for security
            else:
                await asyncio.sleep(wait * random.uniform(0.5, 1.5))  # noqa: S311  as above
                wait = min(wait * 2, MAX_BACKOFF_SECONDS)

    def _continue(self) -> None:
        """The stream goes on with the account's new token."""
        if self._transport is not None:
            message = {"type": "authenticate", "token": self._session.token}
            self._transport.send(WSMsgType.TEXT, msgspec.json.encode(message))

    async def _open(self) -> WSTransport | None:
        """One handshake, recorded as a request; None when it failed."""
        due, stream = self.clock(), _Stream(self)
        transport, status, failure, detail, version = None, None, None, "", ""
        try:
            async with asyncio.timeout(HANDSHAKE_DEADLINE_SECONDS):
                transport, _ = await ws_connect(
                    lambda: stream,
                    self._url if self.sequence is None else f"{self._url}&since={self.sequence}",
                    websocket_handshake_timeout=None,
                    extra_headers={"Host": self._host, "Authorization": f"Bearer {self._session.token}"},
                    max_redirects=0,
                    enable_auto_ping=True,
                    auto_ping_idle_timeout=PING_AFTER_SECONDS,
                    auto_ping_reply_timeout=PONG_DEADLINE_SECONDS,
                )
            status = 101
        except WSHandshakeError as error:
            if error.response:
                status = int(error.response.status)
                version = error.response.headers.get(VERSION_HEADER, "")
            failure, detail = _failure_from(status), str(error)
        except TimeoutError:
            stream.abandon()
            failure = Failure.ANSWER_TIMEOUT
        except ConnectionResetError as error:
            failure, detail = Failure.RESET, str(error)
        except (OSError, WSError) as error:
            failure, detail = Failure.REFUSED, str(error)
        self.record(
            Request(
                kind=Kind.SOCKET,
                lane=Lane.NEW,
                due=due,
                sent=due,
                ended=self.clock(),
                status=status,
                failure=failure,
                detail=detail,
                path="/ws",
                version=version,
            )
        )
        return transport


class _Stream(WSListener):
    """One connection of a Socket."""

    def __init__(self, owner: Socket) -> None:
        self._owner = owner
        self._since = owner.sequence
        self._code = int(WSCloseCode.ABNORMAL_CLOSURE.value)
        self._abandoned = False

    def abandon(self) -> None:
        """Close as soon as it opens: picows continues a handshake after its time-out."""
        self._abandoned = True

    def on_ws_connected(self, transport: WSTransport) -> None:
        if self._abandoned:
            transport.disconnect(graceful=False)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if self._abandoned:
            return
        if frame.msg_type is WSMsgType.TEXT:
            self._read(transport, frame.get_payload_as_bytes())
        elif frame.msg_type is WSMsgType.CLOSE:
            self._code = int(frame.get_close_code().value)
            transport.send_close(frame.get_close_code())
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002  picows' signature
        owner = self._owner
        if self._abandoned:
            return
        owner.record(SocketClosed(owner.number, owner.clock(), self._code))

    def _read(self, transport: WSTransport, text: bytes) -> None:
        if text.startswith(_TICK):
            return
        owner, at = self._owner, self._owner.clock()
        try:
            message = _decoder.decode(text)
        except msgspec.DecodeError as error:
            self._code = int(WSCloseCode.PROTOCOL_ERROR.value)
            failure, detail = Failure.MALFORMED, f"{error}: {text[:100].decode(errors='replace')}"
            owner.record(Request(Kind.SOCKET, Lane.NEW, at, at, failure=failure, detail=detail, path="/ws"))
            transport.disconnect(graceful=False)
            return
        if message.type == "hello":
            account_id = str(message.account_id)
            owner.record(SocketOpened(owner.number, account_id, at, message.sequence, message.colour, self._since))
            if owner.sequence is None:
                owner.sequence = message.sequence
            owner.hello_received.set()
        elif message.type == "order":
            owner.record(SocketEvent(owner.number, owner.account_id, message.sequence, at, message.client_order_id))
            owner.sequence = message.sequence


def _failure_from(status: int | None) -> Failure:
    if status is None:
        return Failure.CLOSED
    return Failure.SERVER_ERROR if status >= 500 else Failure.CLIENT_ERROR
