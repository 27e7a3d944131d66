"""Connects picows to uvicorn's `ws=`: a connection reads the upgrade request (http_connection.py), picows the rest.

It subclasses picows' private `WSProtocol`, which is therefore pinned exactly; test_stream_adaptor.py must pass before
it is upgraded.
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
from rtx_engine.api.client_address import limited_as
from rtx_engine.api.errors import ApiError
from rtx_engine.api.limits import Admission
from rtx_engine.version import VERSION

READ_BUFFER_BYTES = 2048  # initial size; clients send little
MAX_FRAME_BYTES = 4096  # clients send only control frames
HANDSHAKE_TIMEOUT_SECONDS = 5.0
PING_INTERVAL_SECONDS = 20.0  # after this time without data
PONG_TIMEOUT_SECONDS = 20.0
CLOSE_TIMEOUT_SECONDS = 1.0  # for a client to answer the close frame at shutdown

# A LoggerAdapter: from a plain Logger, picows would create a child logger for each connection.
_log = logging.LoggerAdapter(logging.getLogger("picows"), {})
_CONNECTION = re.compile(rb"(?im)^connection:[^\r\n]*")


def protocol_class(
    accept: Callable[[WSUpgradeRequest, str], WSListener], admission: Admission
) -> type[asyncio.BufferedProtocol]:
    """A class for `uvicorn.Config(ws=…)`.

    `accept` gets the request and the address of the other end; it returns a listener or raises ApiError, the response.
    """

    def route(request: WSUpgradeRequest, peer_address: str) -> WSListener | Response:
        try:
            return accept(request, peer_address)
        except ApiError as error:
            return Response(_error_response(error), None)

    class StreamProtocol(WSProtocol):  # type: ignore[misc]  # Any: picows has no stubs for it
        """One connection; a connection makes one for an upgrade request."""

        _peer_address: str = ""

        def __init__(self, config: Config, server_state: ServerState, app_state: object) -> None:  # noqa: ARG002 (named as uvicorn does)
            super().__init__(
                host_port=None,
                ws_path=None,
                is_client_side=False,
                ws_listener_factory=lambda request: route(request, self._peer_address),
                logger=_log,
                disconnect_on_exception=True,
                websocket_handshake_timeout=HANDSHAKE_TIMEOUT_SECONDS,
                enable_auto_ping=True,
                auto_ping_idle_timeout=PING_INTERVAL_SECONDS,
                auto_ping_reply_timeout=PONG_TIMEOUT_SECONDS,
                auto_ping_strategy=WSAutoPingStrategy.PING_WHEN_IDLE,
                enable_auto_pong=True,
                max_frame_size=MAX_FRAME_BYTES,
                extra_headers=None,
                read_buffer_init_size=READ_BUFFER_BYTES,
            )
            self._connections = server_state.connections

        def connection_made(self, transport: asyncio.Transport) -> None:
            self._connections.add(self)
            self._peer_address = (transport.get_extra_info("peername") or ("",))[0]
            self._address = limited_as(self._peer_address)
            admission.opened(self._address)
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            self._connections.discard(self)
            admission.closed(self._address)
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            """Feed picows the upgrade request that has been read already. Later data comes through the buffer."""
            # picows accepts `upgrade` only; Firefox sends `keep-alive, Upgrade`.
            rest = memoryview(_CONNECTION.sub(b"connection: Upgrade", data))
            while rest and not self.transport.underlying_transport.is_closing():
                buffer = self.get_buffer(len(rest))
                size = min(len(buffer), len(rest))
                buffer[:size] = rest[:size]
                rest = rest[size:]
                self.buffer_updated(size)

        def shutdown(self) -> None:
            """Called by uvicorn at shutdown for each open connection."""
            self.transport.send_close(WSCloseCode.SERVICE_RESTART)
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_SECONDS, self.transport.disconnect, False)

    return StreamProtocol


def _error_response(error: ApiError) -> WSUpgradeResponse:
    headers = {name.decode(): value.decode() for name, value in error.headers}
    headers["content-type"] = "application/json"
    if error.status >= 500:
        headers[peer.VERSION.decode()] = VERSION
    response: WSUpgradeResponse = WSUpgradeResponse.create_error_response(
        HTTPStatus(error.status), error.body(), headers
    )
    return response
