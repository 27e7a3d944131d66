"""How a pod reaches the database where a node or the name service is lost."""

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace

import pytest
from rtx_engine.store import UnavailableError, dialing
from rtx_engine.store.dialing import Addresses, Dialer
from rtx_engine.store.session import Session

NAME = "database.test"
SILENT_HOST = "127.0.0.2"


class NameService:
    """Tells the addresses of NAME, or nothing at all."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked = 0

    async def resolve(self, name: str) -> Sequence[str]:
        self.asked += 1
        await self.answers.wait()
        if not self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, f"no address of {name}")
        return self.addresses


@pytest.fixture
def node_without_answers(database) -> Iterator[None]:
    """At SILENT_HOST nothing is accepted on the port of the database: its queue of new connections is full."""
    with ExitStack() as held:
        listener = held.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((SILENT_HOST, database.engine.port))
        listener.listen(0)
        for _ in range(4):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield


async def answer(session: Session) -> int:
    async with session.use() as connection:
        return int(await connection.fetchval("SELECT 42"))


async def test_known_address_serves_while_the_name_service_is_silent(database, monkeypatch):
    monkeypatch.setattr(dialing, "NAME_TIMEOUT_SECONDS", 0.05)
    names = NameService("127.0.0.1")
    session = Session(replace(database.engine, host=NAME), "blue", addresses=Addresses(names.resolve))
    assert await answer(session) == 42

    # when the name service is lost, and then the connection
    names.answers.clear()
    for _ in range(3):
        session.drop()
        assert await answer(session) == 42

    # then it has one question at most
    assert names.asked == 2
    await session.close()


async def test_address_that_has_changed_is_used(database):
    names = NameService("127.0.0.1")
    addresses = Addresses(names.resolve)
    assert await addresses.find(NAME) == ("127.0.0.1",)

    names.addresses = ("127.0.0.3",)

    assert await addresses.find(NAME) == ("127.0.0.3",)


async def test_name_without_an_address_is_no_database(database):
    session = Session(replace(database.engine, host=NAME), "blue", addresses=Addresses(NameService().resolve))

    with pytest.raises(UnavailableError):
        await answer(session)

    await session.close()


@pytest.mark.usefixtures("node_without_answers")
async def test_node_that_does_not_accept_is_left_for_the_next_address(database, monkeypatch):
    monkeypatch.setattr(dialing, "ACCEPT_TIMEOUT_SECONDS", 0.2)
    names = NameService(SILENT_HOST, "127.0.0.1")
    session = Session(replace(database.engine, host=NAME), "blue", addresses=Addresses(names.resolve))

    assert await answer(session) == 42

    await session.close()


async def test_connection_on_which_nothing_comes_back_is_lost(database):
    transport, _ = await Dialer(Addresses()).create_connection(asyncio.Protocol, "127.0.0.1", database.engine.port)
    connected = transport.get_extra_info("socket")

    assert {option: connected.getsockopt(level, option) for level, option, _ in dialing.KEEPALIVE} == {
        option: value for _, option, value in dialing.KEEPALIVE
    }
    transport.abort()
