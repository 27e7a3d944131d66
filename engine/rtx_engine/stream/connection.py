"""One WebSocket client."""

import asyncio
import socket
from enum import IntEnum
from typing import Protocol

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from rtx_engine import metrics
from rtx_engine.domain.access import Claims
from rtx_engine.domain.events import AccountEvent
from rtx_engine.stream import messages
from rtx_engine.stream.cursor import Cursor
from rtx_engine.stream.handshake import Request

KERNEL_BUFFER_BYTES = 32 * 1024  # the default of 2 MB would hide a slow reader
PAUSE_REPLAY_ABOVE_BYTES = 64 * 1024  # of unread data
MAX_UNREAD_BYTES = 256 * 1024  # about two minutes of ticks; a client that leaves more unread is dropped
WRITABLE_TIMEOUT_SECONDS = 10.0  # for a client to read one page of replayed events
CLOSE_TIMEOUT_SECONDS = 1.0  # for a client to answer the close frame
MAX_REASON_BYTES = 123  # of a close frame


class StreamCloseCode(IntEnum):
    """Close codes of our own, named after HTTP's statuses; the others are WSCloseCode's."""

    TOKEN_ENDED = 4401  # it is missing, not valid, expired or revoked: connect with another one
    TOO_MANY = 4429  # streams of the account


class ConnectionRegistry(Protocol):
    """Told of what happens to connections."""

    def connected(self, connection: "Connection") -> None: ...

    def disconnected(self, connection: "Connection") -> None: ...

    def received(self, connection: "Connection", text: bytes) -> None: ...

    def unread(self, connection: "Connection", size: int) -> None:
        """The client has `size` bytes unread, which are more or less than before."""
        ...


class Connection(WSListener):
    """Sends messages and detects the end of the connection. The hub decides what to send."""

    def __init__(self, request: Request, address: str, claims: Claims | None, registry: ConnectionRegistry) -> None:
        self.address = address
        self.symbols = request.symbols
        self.since = request.since
        self.opened_at = self.authenticated_at = asyncio.get_running_loop().time()
        self.claims = claims  # of the token that the stream lasts as long as; None until it has come
        self.cursor: Cursor | None = None  # None until the hello has been sent
        self.newest_seen = 0  # the largest sequence seen before the hello
        self._registry = registry
        self._unread = 0  # bytes, as last noted
        self._transport: WSTransport | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    @property
    def open(self) -> bool:
        transport = self._transport
        # picows sets is_disconnected one loop iteration after a disconnect; events may still come in between.
        return (
            transport is not None
            and not transport.is_disconnected
            and not transport.is_close_frame_sent
            and not transport.underlying_transport.is_closing()
        )

    @property
    def account_id(self) -> int | None:
        """The account that the client listens to; None until its token has come."""
        return None if self.claims is None else self.claims.account_id

    @property
    def owner(self) -> int | str:
        """For whom it counts in the budget of what clients leave unread."""
        return self.address if self.account_id is None else self.account_id

    @property
    def unread_bytes(self) -> int:
        return 0 if self._transport is None else int(self._transport.underlying_transport.get_write_buffer_size())

    @property
    def behind(self) -> bool:
        """Whether the client has had its hello, is still connected and lacks an event."""
        return self.cursor is not None and self.cursor.behind and self.open

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        transport.underlying_transport.set_write_buffer_limits(high=PAUSE_REPLAY_ABOVE_BYTES)
        transport.underlying_transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER_BYTES
        )
        self._registry.connected(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Ignore binary frames and parts of messages; picows answers pings."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type == WSMsgType.TEXT and frame.fin and self.open:
            self._registry.received(self, frame.get_payload_as_bytes())

    def begin(self, claims: Claims) -> None:
        """The client's token has come."""
        self.claims = claims
        self.authenticated_at = asyncio.get_running_loop().time()

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002 (named by picows)
        self._writable.set()  # wakes a waiting replay, which then stops
        self._note_unread(0)
        self._registry.disconnected(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def wait_writable(self) -> None:
        """Wait until the client has read most of its data; drop it after WRITABLE_TIMEOUT_SECONDS."""
        try:
            async with asyncio.timeout(WRITABLE_TIMEOUT_SECONDS):
                await self._writable.wait()
        except TimeoutError:
            self.drop()

    def send_hello(self, newest: int, colour: str) -> None:
        """Send the hello. `newest` is the sequence of the account's newest event in the database."""
        sequence = newest if self.since is None else self.since
        self.cursor = Cursor(sent=sequence, newest=max(newest, self.newest_seen))
        self.send(messages.hello(self.account_id or 0, sequence, colour))

    def send_event(self, event: AccountEvent, text: bytes) -> None:
        """Send `text`, the message of `event`, if it is the next event for this client."""
        if self.cursor is None:
            self.newest_seen = max(self.newest_seen, event.sequence)
        elif self.cursor.admit(event.sequence):
            self.send(text)

    def send(self, text: bytes) -> None:
        """Send `text`, or drop the client if it has more than MAX_UNREAD_BYTES unread."""
        transport = self._transport
        if transport is None or not self.open:
            return
        unread = transport.underlying_transport.get_write_buffer_size()
        if unread > MAX_UNREAD_BYTES:
            self.drop()
            return
        transport.send(WSMsgType.TEXT, text)
        self._note_unread(unread)

    def drop(self) -> None:
        """Disconnect without a close frame: a client that does not read would not get it."""
        if self.open and self._transport is not None:
            metrics.SLOW_CONSUMERS.inc()
            self._transport.disconnect(False)

    def close(self, code: WSCloseCode | StreamCloseCode, reason: str) -> bool:
        """Send a close frame and disconnect when the client answers, at the latest after CLOSE_TIMEOUT_SECONDS.

        Returns False if the connection was already closing.
        """
        if not self.open or self._transport is None:
            return False
        self._transport.send_close(code, reason.encode()[:MAX_REASON_BYTES])  # type: ignore[arg-type]  # any number
        asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_SECONDS, self._transport.disconnect, False)
        return True

    def _note_unread(self, size: int) -> None:
        if size != self._unread:
            self._unread = size
            self._registry.unread(self, size)
