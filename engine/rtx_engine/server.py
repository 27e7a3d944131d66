"""Starts the engine, serves, and shuts down without failing a request.

On SIGTERM, or when a task ends that must not, in this order: /ready answers 503; WebSockets are closed with 1012;
every response has `connection: close` until no requests arrive; the listener closes; the store finishes the queued
orders. The exit code is 0 after a signal, 1 after the end of a task.
"""

import asyncio
import contextlib
import dataclasses
import functools
import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator

import prometheus_client
import structlog
import uvicorn

from rtx_engine import metrics
from rtx_engine.api.app import Application
from rtx_engine.api.context import Activity, Context
from rtx_engine.api.http_connection import HttpConnection, check_times
from rtx_engine.api.keys import SigningKeys
from rtx_engine.api.limits import PRODUCTION as LIMITS
from rtx_engine.api.limits import Admission, Limits
from rtx_engine.api.login_counters import Counters
from rtx_engine.api.logins import Logins
from rtx_engine.api.passwords import Passwords
from rtx_engine.api.peer import Peers
from rtx_engine.api.peer_client import PeerClient
from rtx_engine.api.refresh_tokens import RefreshTokens
from rtx_engine.api.request_stats import RequestStats
from rtx_engine.api.tokens import Tokens, password_generation
from rtx_engine.config import Settings
from rtx_engine.feed.source import PriceSource
from rtx_engine.store import FenceState, Store
from rtx_engine.stream import Stream
from rtx_engine.stream.bus import Bus
from rtx_engine.stream.limits import StreamLimits
from rtx_engine.tasks import Supervisor
from rtx_engine.timeouts import PRODUCTION, Timeouts
from rtx_engine.version import VERSION

log = structlog.get_logger(__name__)

# Services and probes connect from outside the pod, by either family; a NetworkPolicy restricts who.
ANY_ADDRESS, ANY_IPV4_ADDRESS = "::", "0.0.0.0"  # noqa: S104
BACKLOG = 2048
FILES_OF_ITS_OWN = 128  # open besides the clients' connections


class StartError(Exception):
    """The server cannot start; the message is one sentence."""


class TaskEndedError(Exception):
    """A task ended without which the server is of no use; the message is one sentence."""


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, which raise the signal again at the end: the exit code would not be 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(settings: Settings, source: PriceSource, timeouts: Timeouts = PRODUCTION) -> None:
    """Serve until SIGTERM or SIGINT. Raises StartError if a port cannot be bound, TaskEndedError if a task ends."""
    ending = asyncio.Event()
    supervisor = Supervisor(on_failure=ending.set)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    limits = _limits(settings)
    admission = Admission(limits)

    async with contextlib.AsyncExitStack() as stack:
        listener = stack.enter_context(_listen(settings.port))
        stack.enter_context(_serve_metrics(settings.metrics_port))
        context = await stack.enter_async_context(_services(settings, source, timeouts, supervisor, admission))
        application = Application(context, limits)
        connection = functools.partial(HttpConnection, application=application, limits=limits, admission=admission)
        await _wait_for_first_answer(context.store, timeouts)
        server = _Server(_uvicorn_config(connection, context.stream, timeouts))
        serving = supervisor.start(server.serve(sockets=[listener]), "HTTP server")
        checking = supervisor.start(check_times(server.server_state), "check for slow connections")
        log.info(
            "serving",
            port=settings.port,
            metrics_port=settings.metrics_port,
            pod=settings.pod_name,
            environment=settings.environment,
        )
        await ending.wait()
        log.info("shutting down")
        supervisor.release()
        await _drain(context.activity, context.stream, timeouts)
        server.should_exit = True
        await serving
        checking.cancel()
    log.info("stopped")
    if supervisor.failure is not None:
        raise TaskEndedError(f"The {supervisor.failure} ended although it must not: the log says why.")


@contextlib.asynccontextmanager
async def _services(
    settings: Settings, source: PriceSource, timeouts: Timeouts, supervisor: Supervisor, admission: Admission
) -> AsyncIterator[Context]:
    """What the routes use, started; stopped at the end, the store last."""
    bus = Bus(settings.redis)
    colour = settings.colour.value  # a plain str: asyncpg rejects an enum as a session setting
    store = Store(
        settings.database,
        colour,
        source,
        bus.publish,
        revision=settings.revision,
        connections=settings.database_connections,
        owner=settings.owner,
    )
    generation = password_generation(settings.admin_password_hash)
    keys = SigningKeys(settings.jwt_secrets)
    tokens = Tokens(keys, store.token_rules.rules, generation)
    stream = Stream(store.reader, bus, source, tokens, colour, _sockets(settings), admission, settings.trusted_proxies)
    request_stats = RequestStats()
    store.fence.on_change(lambda state: metrics.FENCE_EPOCH.set(state.epoch))
    store.fence.on_change(lambda state: _on_fence_change(store, state, request_stats, stream))
    store.fence.on_restore(stream.begin_anew)
    store.orders.on_batch(metrics.BATCH_SIZE.observe)
    async with contextlib.AsyncExitStack() as stack:
        passwords = stack.enter_context(contextlib.closing(Passwords()))
        counters = Counters(settings.redis)
        stack.push_async_callback(counters.close)
        await bus.start()
        stack.push_async_callback(bus.stop)
        await store.start()
        stack.push_async_callback(store.stop)
        await stream.start()
        supervisor.watch(*bus.tasks, *store.tasks, *stream.tasks)
        peer_client = PeerClient(settings.peer_service, settings.peer_secret) if settings.peer_service else None
        if peer_client is not None:
            stack.callback(peer_client.stop)
        yield Context(
            settings=settings,
            timeouts=timeouts,
            version=VERSION,
            store=store,
            source=source,
            tokens=tokens,
            refresh_tokens=RefreshTokens(keys),
            passwords=passwords,
            logins=Logins(passwords, counters),
            activity=Activity(),
            stream=stream,
            peers=Peers(settings.peer_secret),
            peer_client=peer_client,
            request_stats=request_stats,
            supervisor=supervisor,
        )


async def _wait_for_first_answer(store: Store, timeouts: Timeouts) -> None:
    """A container that restarts gets requests until its Service leaves it out: they wait in the listener's backlog."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeouts.first_answer_seconds):
            await store.token_rules.wait()


def _limits(settings: Settings) -> Limits:
    """Raises StartError if the process may not open as many files as connections are asked for."""
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    possible = sys.maxsize if files == resource.RLIM_INFINITY else files - FILES_OF_ITS_OWN
    wanted = settings.max_connections or min(LIMITS.connections, possible)
    if wanted > possible:
        raise StartError(
            f"MAX_CONNECTIONS is {wanted}, but this process may open only {files} files: raise its limit, or ask for "
            f"{possible} connections or less."
        )
    return dataclasses.replace(LIMITS, connections=wanted, connections_per_address=settings.max_connections_per_address)


def _sockets(settings: Settings) -> StreamLimits:
    """A client behind a trusted proxy may have as many streams as one that connects by itself."""
    return StreamLimits(sockets_per_address=settings.max_connections_per_address)


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


def _uvicorn_config(connection: Callable[..., HttpConnection], stream: Stream, timeouts: Timeouts) -> uvicorn.Config:
    return uvicorn.Config(
        connection,  # nobody calls it as an application: the connections have theirs
        interface="asgi3",
        http=connection,  # type: ignore[arg-type]  # uvicorn only calls it
        ws=stream.protocol_class,  # type: ignore[arg-type]  # a BufferedProtocol; uvicorn calls only its data_received
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the engine forwards x-forwarded-for itself
        backlog=BACKLOG,
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
