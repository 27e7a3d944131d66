"""One client of the stream."""

import asyncio
import socket
from typing import Protocol

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from rtx_engine import metrics
from rtx_engine.domain.events import AccountEvent
from rtx_engine.stream import messages
from rtx_engine.stream.cursor import Cursor
from rtx_engine.stream.handshake import Request

KERNEL_BUFFER = 32 * 1024  # bytes; the default hides two megabytes there before anyone notices a slow reader
PAUSE_REPLAY_ABOVE = 64 * 1024  # bytes that the client has yet to take
UNREAD_LIMIT = 256 * 1024  # bytes; a client that leaves more unread is dropped: about two minutes of ticks
PATIENCE = 10.0  # seconds for a client to take one page of events that it has asked for
GOODBYE = 1.0  # seconds for a client to answer our close frame


class Room(Protocol):
    """Who is told of connections that come and go."""

    def entered(self, connection: "Connection") -> None: ...

    def left(self, connection: "Connection") -> None: ...


class Connection(WSListener):
    """Sends, and notices when it ends. What to send is the hub's business."""

    def __init__(self, request: Request, room: Room) -> None:
        self.account_id = request.account_id
        self.symbols = request.symbols
        self.since = request.since
        self.opened = asyncio.get_running_loop().time()
        self.cursor: Cursor | None = None  # None until the client has been greeted
        self.noticed = 0  # the largest sequence heard of before that
        self._room = room
        self._transport: WSTransport | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    @property
    def open(self) -> bool:
        transport = self._transport
        # is_disconnected comes a turn of the loop after a disconnect, and in that turn events may still come.
        return (
            transport is not None
            and not transport.is_disconnected
            and not transport.is_close_frame_sent
            and not transport.underlying_transport.is_closing()
        )

    @property
    def behind(self) -> bool:
        """Whether a greeted client, still there, lacks an event."""
        return self.cursor is not None and self.cursor.behind and self.open

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        transport.underlying_transport.set_write_buffer_limits(high=PAUSE_REPLAY_ABOVE)
        transport.underlying_transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER
        )
        self._room.entered(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Clients have nothing to tell: anything but a close is ignored (picows answers pings)."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002 (named by picows)
        self._writable.set()  # wakes a replay, which then sees that nobody is there
        self._room.left(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def writable(self) -> None:
        """Wait until the client has taken most of what it was sent; drop it when that takes longer than PATIENCE."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._writable.wait()
        except TimeoutError:
            self.drop()

    def greet(self, newest: int, colour: str) -> None:
        """Say hello. `newest` is the sequence of the account's last event, as the database has it."""
        sequence = newest if self.since is None else self.since
        self.cursor = Cursor(sent=sequence, newest=max(newest, self.noticed))
        self.send(messages.hello(self.account_id, sequence, colour))

    def offer(self, event: AccountEvent, text: bytes) -> None:
        """Send `text`, the message of `event`, if it is the one that comes next."""
        if self.cursor is None:
            self.noticed = max(self.noticed, event.sequence)
        elif self.cursor.admit(event.sequence):
            self.send(text)

    def send(self, text: bytes) -> None:
        """Send, or drop the client if it has left too much unread."""
        transport = self._transport
        if transport is None or not self.open:
            return
        if transport.underlying_transport.get_write_buffer_size() > UNREAD_LIMIT:
            self.drop()
            return
        transport.send(WSMsgType.TEXT, text)

    def drop(self) -> None:
        """End without a goodbye, which a client that does not read would not get either."""
        if self.open and self._transport is not None:
            metrics.SLOW_CONSUMERS.inc()
            self._transport.disconnect(False)

    def close(self, code: WSCloseCode, why: str) -> bool:
        """Say goodbye, once, and end when the client has answered or GOODBYE has passed. Whether it was said now."""
        if not self.open or self._transport is None:
            return False
        self._transport.send_close(code, why)
        asyncio.get_running_loop().call_later(GOODBYE, self._transport.disconnect, False)
        return True
