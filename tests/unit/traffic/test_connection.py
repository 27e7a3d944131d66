"""The HTTP client against real servers that misbehave: failures have a reason, and nothing is retried."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from rtx_traffic import connection as connection_module
from rtx_traffic.connection import Connection, RequestError, Target
from rtx_traffic.ledger import Failure

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Counts the requests that really arrive."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.requests = 0
        self.connections = 0
        self._behaviour = behaviour

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                await self._behaviour(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(behaviour: Behaviour) -> AsyncIterator[tuple[Server, Target]]:
    server = Server(behaviour)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        yield server, Target("engine", "127.0.0.1", port)


async def answers(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)


async def closes(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def closes_in_mid_answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(OK[:-1])
    writer.close()


async def resets(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    writer.transport.abort()


async def talks_nonsense(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")


async def is_silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def test_keep_alive_connection_carries_requests_in_turn() -> None:
    # given a server that keeps connections open
    async with serving(answers) as (server, target):
        connection = await Connection.open(target)

        # when three requests are sent on one connection
        for _ in range(3):
            answer = await connection.send(target.message("GET", "/"))
            assert (answer.status, answer.body, answer.keep_alive) == (200, b"{}", True)

        # then it is one connection, and it is still usable
        assert (server.connections, server.requests, connection.usable) == (1, 3, True)
        connection.close()


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("behaviour", "failure"),
    [
        (closes, Failure.CLOSED),
        (closes_in_mid_answer, Failure.CLOSED),
        (resets, Failure.RESET),
        (talks_nonsense, Failure.MALFORMED),
        (is_silent, Failure.ANSWER_TIMEOUT),
    ],
)
async def test_failed_request_has_its_reason_and_is_not_retried(
    monkeypatch: pytest.MonkeyPatch, behaviour: Behaviour, failure: Failure, method: str
) -> None:
    # given a server that answers the first request and misbehaves on the second of the same connection
    async def first_well(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (answers if server.requests == 1 else behaviour)(reader, writer)

    async with serving(first_well) as (server, target):
        connection = await Connection.open(target)
        await connection.send(target.message(method, "/"))

        # when the second one is sent, then it fails under its name
        if behaviour is is_silent:
            monkeypatch.setattr(connection_module, "RESPONSE_DEADLINE_SECONDS", 0.2)
        with pytest.raises(RequestError) as raised:
            await connection.send(target.message(method, "/"))
        assert raised.value.failure is failure

        # and the server saw two requests on one connection: no third one in hiding; the connection is not used again
        await asyncio.sleep(0.05)
        assert (server.requests, server.connections, connection.usable) == (2, 1, False)


async def test_closed_port_is_a_refused_connection() -> None:
    # given a port that nobody listens on
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        target = Target("engine", "127.0.0.1", free.getsockname()[1])

    # when it is connected to, then that is refused
    with pytest.raises(RequestError) as raised:
        await Connection.open(target)
    assert raised.value.failure is Failure.REFUSED


async def test_connection_is_unusable_after_connection_close() -> None:
    # given a server that answers with connection: close
    async def answers_and_closes(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        writer.close()

    async with serving(answers_and_closes) as (_, target):
        connection = await Connection.open(target)

        # when it answers, then the answer counts and the connection is not used again
        answer = await connection.send(target.message("GET", "/"))
        assert (answer.status, answer.keep_alive, connection.usable) == (200, False, False)
