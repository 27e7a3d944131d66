"""picows behind uvicorn's `ws=`: uvicorn accepts the connection and reads the upgrade request, picows does the rest.

It subclasses `WSProtocol`, which picows keeps to itself, and relies on how uvicorn hands a connection over; hence both
are pinned exactly, and test_stream_adaptor.py is run before either moves.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from http import HTTPStatus

from picows import WSAutoPingStrategy, WSCloseCode, WSListener, WSUpgradeRequest, WSUpgradeResponse
from picows import WSUpgradeResponseWithListener as Response
from picows.picows import WSProtocol  # type: ignore[attr-defined]  # not in its stubs
from uvicorn import Config
from uvicorn.server import ServerState

from rtx_engine.api import peer
from rtx_engine.api.errors import ApiError
from rtx_engine.version import VERSION

READ_BUFFER = 2048  # bytes at first: clients hardly send anything
LARGEST_FRAME = 4096  # bytes: clients have nothing to tell
HANDSHAKE_TIMEOUT = 5.0  # seconds
PING_INTERVAL = 20.0  # seconds of silence
PONG_TIMEOUT = 20.0  # seconds
GOODBYE = 1.0  # seconds for a client to answer the close frame at shutdown

# A LoggerAdapter, since picows makes a child of each plain Logger that it is given, for each connection.
_log = logging.LoggerAdapter(logging.getLogger("picows"), {})
_CONNECTION = re.compile(rb"(?im)^connection:[^\r\n]*")


def protocol_class(accept: Callable[[WSUpgradeRequest], WSListener]) -> type[asyncio.BufferedProtocol]:
    """A class for `uvicorn.Config(ws=…)`. `accept` gives a listener, or raises ApiError, which becomes the answer."""

    def route(request: WSUpgradeRequest) -> WSListener | Response:
        try:
            return accept(request)
        except ApiError as error:
            return Response(_refusal(error), None)

    class StreamProtocol(WSProtocol):  # type: ignore[misc]  # Any, for want of stubs
        """One connection; made by uvicorn for each upgrade request."""

        def __init__(self, config: Config, server_state: ServerState, app_state: object) -> None:  # noqa: ARG002 (named by uvicorn)
            super().__init__(
                host_port=None,
                ws_path=None,
                is_client_side=False,
                ws_listener_factory=route,
                logger=_log,
                disconnect_on_exception=True,
                websocket_handshake_timeout=HANDSHAKE_TIMEOUT,
                enable_auto_ping=True,
                auto_ping_idle_timeout=PING_INTERVAL,
                auto_ping_reply_timeout=PONG_TIMEOUT,
                auto_ping_strategy=WSAutoPingStrategy.PING_WHEN_IDLE,
                enable_auto_pong=True,
                max_frame_size=LARGEST_FRAME,
                extra_headers=None,
                read_buffer_init_size=READ_BUFFER,
            )
            self._connections = server_state.connections

        def connection_made(self, transport: asyncio.Transport) -> None:
            self._connections.add(self)
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            self._connections.discard(self)
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            """Take the upgrade request that uvicorn has read already. What follows comes through the buffer."""
            # picows wants exactly `upgrade`; Firefox sends `keep-alive, Upgrade`, which uvicorn has understood.
            rest = memoryview(_CONNECTION.sub(b"connection: Upgrade", data))
            while rest and not self.transport.underlying_transport.is_closing():
                buffer = self.get_buffer(len(rest))
                size = min(len(buffer), len(rest))
                buffer[:size] = rest[:size]
                rest = rest[size:]
                self.buffer_updated(size)

        def shutdown(self) -> None:
            """Called by uvicorn when it stops, for what is still connected then."""
            self.transport.send_close(WSCloseCode.SERVICE_RESTART)
            asyncio.get_running_loop().call_later(GOODBYE, self.transport.disconnect, False)

    return StreamProtocol


def _refusal(error: ApiError) -> WSUpgradeResponse:
    headers = {name.decode(): value.decode() for name, value in error.headers}
    headers["content-type"] = "application/json"
    if error.status >= 500:
        headers[peer.VERSION.decode()] = VERSION
    response: WSUpgradeResponse = WSUpgradeResponse.create_error_response(
        HTTPStatus(error.status), error.body(), headers
    )
    return response
