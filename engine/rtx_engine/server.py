"""The life of the process: start everything, serve, and end without failing a request.

SIGTERM ends it in this order: /ready says no; WebSockets are closed with 1012; every answer carries `connection: close`
until nobody asks any more; the listener closes; the store finishes what it has begun. Then the exit code is 0.
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
from rtx_engine.times import PRODUCTION, Times
from rtx_engine.version import VERSION

log = structlog.get_logger(__name__)

ANY_ADDRESS = "0.0.0.0"  # noqa: S104  # Services and probes come from outside the pod; a NetworkPolicy says who may
BACKLOG = 2048
IDLE_CONNECTION = 3600  # seconds: the client or the proxy closes first, since closing first may meet a request half-way


class StartError(Exception):
    """The server cannot start; the message is one sentence."""


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: they raise the signal again when all is done, which spoils the exit code."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(settings: Settings, source: PriceSource, times: Times = PRODUCTION) -> None:
    """Serve until SIGTERM or SIGINT. Raises StartError when a port is taken."""
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)

    bus = Bus(settings.redis)
    colour = settings.colour.value  # a plain str: asyncpg fails on an enum among a session's settings
    store = Store(settings.database, colour, source, bus.publish)
    store.fence.on_change(lambda state: metrics.FENCE_EPOCH.set(state.epoch))
    store.orders.on_batch(metrics.BATCH_SIZE.observe)
    tokens = Tokens(settings.jwt_secret)
    stream = Stream(store.reader, bus, source, tokens.trader, colour)
    activity = Activity()
    request_stats = RequestStats()
    peer_client = PeerClient(settings.peer_service, settings.peer_secret) if settings.peer_service else None
    store.fence.on_change(lambda state: _on_fence_change(colour, state, request_stats, stream))

    async with contextlib.AsyncExitStack() as stack:
        listener = stack.enter_context(_listen(settings.port))
        stack.enter_context(_metrics(settings.metrics_port))
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
            times=times,
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
        server = _Server(_config(Application(context), stream, times))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        serving.add_done_callback(lambda _: ending.set())  # a server that fails ends the process
        log.info("serving", port=settings.port, metrics_port=settings.metrics_port, pod=settings.pod_name)
        await ending.wait()
        log.info("ending")
        await _drain(activity, stream, times)
        server.should_exit = True
        await serving
    log.info("ended")


def _on_fence_change(colour: str, state: FenceState, request_stats: RequestStats, stream: Stream) -> None:
    """The fence has moved: begin to count, or stop; clients of a colour that is named may stay."""
    executing = colour in state.executors
    request_stats.restart(state.epoch if executing else None)
    if executing:
        stream.drain.end()


async def _drain(activity: Activity, stream: Stream, times: Times) -> None:
    """Send everybody elsewhere, and return when nobody asks any more."""
    activity.ending = True
    async with asyncio.TaskGroup() as group:
        group.create_task(stream.stop(times.websockets_close_within))
        group.create_task(_quiet(activity, times))


async def _quiet(activity: Activity, times: Times) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(times.drain_at_most):
            await asyncio.sleep(times.quiet)
            while (quiet := activity.quiet_seconds()) < times.quiet:  # noqa: ASYNC110  # what is waited for is that nothing happens
                await asyncio.sleep(times.quiet - quiet)


def _config(application: Application, stream: Stream, times: Times) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        http="httptools",
        ws=stream.protocol_class,  # type: ignore[arg-type]  # buffered: uvicorn only calls data_received, which it has
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # who asks, and on whose behalf, both travel on with a forwarded request
        backlog=BACKLOG,
        timeout_keep_alive=IDLE_CONNECTION,
        timeout_graceful_shutdown=times.unfinished_requests,
    )


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((ANY_ADDRESS, port), backlog=BACKLOG)
    except OSError as error:
        raise _taken(port, error) from error


@contextlib.contextmanager
def _metrics(port: int) -> Iterator[None]:
    """Serve the metrics from a thread: rendering them takes milliseconds that orders would wait for."""
    try:
        server, thread = prometheus_client.start_http_server(port, addr=ANY_ADDRESS)
    except OSError as error:
        raise _taken(port, error) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _taken(port: int, error: OSError) -> StartError:
    return StartError(
        f"Port {port} cannot be listened on ({os.strerror(error.errno or 0)}): does another engine run here?"
    )
