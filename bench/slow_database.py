"""A TCP proxy that makes a database slow: each of its answers comes later, one after the other on each connection."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class SlowDatabase:
    """The proxy; it counts the connections that clients open."""

    def __init__(self, target_port: int, delay_seconds: float) -> None:
        self.port = 0
        self.connections = 0
        self._target_port = target_port
        self._delay_seconds = delay_seconds

    async def serve(self, listening: threading.Event, stopping: asyncio.Event) -> None:
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        listening.set()
        await stopping.wait()
        server.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self._target_port)
        requests = asyncio.create_task(_copy(reader, upstream, 0.0))
        await _copy(upstream_reader, writer, self._delay_seconds)
        requests.cancel()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_seconds: float) -> None:
    """Copy until either side ends, and end the other."""
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            await asyncio.sleep(delay_seconds)
            writer.write(data)
    writer.transport.abort()


@contextmanager
def slow_database(target_port: int, delay_seconds: float) -> Iterator[SlowDatabase]:
    """A proxy on a thread of its own, for as long as this is entered."""
    proxy = SlowDatabase(target_port, delay_seconds)
    loop, stopping, listening = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(proxy.serve(listening, stopping),))
    thread.start()
    try:
        listening.wait()
        yield proxy
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
