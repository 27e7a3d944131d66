"""Starts the engine, serves, and shuts down without failing a request.

On SIGTERM, in this order: /ready answers 503; WebSockets are closed with 1012; every response has `connection: close`
until no requests arrive; the listener closes; the store finishes the queued orders. The exit code is then 0.
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Iterator

import prometheus_client
import structlog
import uvicorn

from rtx_engine import metrics
from rtx_engine.api.app import Application
from rtx_engine.api.context import Activity, Context
from rtx_engine.api.passwords import Passwords
from rtx_engine.api.peer import Peers
from rtx_engine.api.peer_client import PeerClient
from rtx_engine.api.request_stats import RequestStats
from rtx_engine.api.tokens import Tokens
from rtx_engine.config import Settings
from rtx_engine.feed.source import PriceSource
from rtx_engine.store import FenceState, Store
from rtx_engine.stream import Stream
from rtx_engine.stream.bus import Bus
from rtx_engine.timeouts import PRODUCTION, Timeouts
from rtx_engine.version import VERSION

log = structlog.get_logger(__name__)

# Services and probes connect from outside the pod, by either family; a NetworkPolicy restricts who.
ANY_ADDRESS, ANY_IPV4_ADDRESS = "::", "0.0.0.0"  # noqa: S104
BACKLOG = 2048
KEEP_ALIVE_SECONDS = 3600  # the client or proxy must close first: a server that closes may lose a request


class StartError(Exception):
    """The server cannot start; the message is one sentence."""


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, which raise the signal again at the end: the exit code would not be 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(settings: Settings, source: PriceSource, timeouts: Timeouts = PRODUCTION) -> None:
    """Serve until SIGTERM or SIGINT. Raises StartError if a port cannot be bound."""
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)

    bus = Bus(settings.redis)
    colour = settings.colour.value  # a plain str: asyncpg rejects an enum as a session setting
    store = Store(
        settings.database,
        colour,
        source,
        bus.publish,
        revision=settings.revision,
        connections=settings.database_connections,
    )
    store.fence.on_change(lambda state: metrics.FENCE_EPOCH.set(state.epoch))
    store.orders.on_batch(metrics.BATCH_SIZE.observe)
    tokens = Tokens(settings.jwt_secret)
    stream = Stream(store.reader, bus, source, tokens.trading_account, colour)
    activity = Activity()
    request_stats = RequestStats()
    peer_client = PeerClient(settings.peer_service, settings.peer_secret) if settings.peer_service else None
    store.fence.on_change(lambda state: _on_fence_change(store, state, request_stats, stream))

    async with contextlib.AsyncExitStack() as stack:
        listener = stack.enter_context(_listen(settings.port))
        stack.enter_context(_serve_metrics(settings.metrics_port))
        passwords = stack.enter_context(contextlib.closing(Passwords()))
        await bus.start()
        stack.push_async_callback(bus.stop)
        await store.start()
        stack.push_async_callback(store.stop)
        await stream.start()
        if peer_client is not None:
            stack.callback(peer_client.stop)
        context = Context(
            settings=settings,
            timeouts=timeouts,
            version=VERSION,
            store=store,
            source=source,
            tokens=tokens,
            passwords=passwords,
            activity=activity,
            stream=stream,
            peers=Peers(settings.peer_secret),
            peer_client=peer_client,
            request_stats=request_stats,
        )
        server = _Server(_uvicorn_config(Application(context), stream, timeouts))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        serving.add_done_callback(lambda _: ending.set())  # a failed server ends the process
        log.info("serving", port=settings.port, metrics_port=settings.metrics_port, pod=settings.pod_name)
        await ending.wait()
        log.info("shutting down")
        await _drain(activity, stream, timeouts)
        server.should_exit = True
        await serving
    log.info("stopped")


def _on_fence_change(store: Store, state: FenceState, request_stats: RequestStats, stream: Stream) -> None:
    """Restart the request statistics; end the drain if this pod executes."""
    executing = store.fence.executing
    request_stats.restart(state.epoch if executing else None)
    if executing:
        stream.drain.end()


async def _drain(activity: Activity, stream: Stream, timeouts: Timeouts) -> None:
    """Close the WebSockets and wait until no requests arrive."""
    activity.ending = True
    async with asyncio.TaskGroup() as group:
        group.create_task(stream.stop(timeouts.websocket_close_seconds))
        group.create_task(_wait_until_quiet(activity, timeouts))


async def _wait_until_quiet(activity: Activity, timeouts: Timeouts) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeouts.max_drain_seconds):
            await asyncio.sleep(timeouts.quiet_seconds)
            while (quiet := activity.quiet_seconds()) < timeouts.quiet_seconds:  # noqa: ASYNC110  # no event for the absence of requests
                await asyncio.sleep(timeouts.quiet_seconds - quiet)


def _uvicorn_config(application: Application, stream: Stream, timeouts: Timeouts) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        http="httptools",
        ws=stream.protocol_class,  # type: ignore[arg-type]  # a BufferedProtocol; uvicorn calls only its data_received
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the engine forwards x-forwarded-for itself
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=timeouts.unfinished_request_seconds,
    )


def _listen(port: int) -> socket.socket:
    """A listener for IPv4 and IPv6; only for IPv4 where the kernel has no IPv6. Raises StartError."""
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(
                (ANY_ADDRESS, port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True
            )
        return socket.create_server((ANY_IPV4_ADDRESS, port), backlog=BACKLOG)
    except OSError as error:
        raise _port_error(port, error) from error


@contextlib.contextmanager
def _serve_metrics(port: int) -> Iterator[None]:
    """Serve the metrics from a thread: rendering them takes milliseconds, during which orders would wait."""
    try:
        address = ANY_ADDRESS if socket.has_dualstack_ipv6() else ANY_IPV4_ADDRESS
        server, thread = prometheus_client.start_http_server(port, addr=address)
    except OSError as error:
        raise _port_error(port, error) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _port_error(port: int, error: OSError) -> StartError:
    return StartError(
        f"Cannot listen on port {port} ({os.strerror(error.errno or 0)}): check whether another process uses it."
    )
