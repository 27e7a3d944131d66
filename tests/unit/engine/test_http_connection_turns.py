"""What a connection does when: whose turn it is, what waits for whom, and when it ends. With a clock of the test's."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest
import uvicorn
from recorded_transports import RecordedTransport
from rtx_engine.api.exchange import Exchange
from rtx_engine.api.http import Response
from rtx_engine.api.http_connection import HttpConnection
from rtx_engine.api.limits import PRODUCTION, Admission
from uvicorn.server import ServerState

GET = b"GET /%d HTTP/1.1\r\n\r\n"
CLOSING = GET.replace(b"\r\n", b"\r\nconnection: close\r\n", 1)
LARGE = b"x" * 1_000_000


@dataclass
class Clock:
    """Of the event loop, as the connection sees it."""

    now: float = 1000.0

    def time(self) -> float:
        return self.now


@dataclass
class Client:
    """Both ends of a connection, and the requests that the application has been given and has not answered."""

    clock: Clock = field(default_factory=Clock)
    transport: RecordedTransport = field(default_factory=RecordedTransport)
    exchanges: list[Exchange] = field(default_factory=list)
    admission: Admission = field(default_factory=lambda: Admission(PRODUCTION))

    def __post_init__(self) -> None:
        config = uvicorn.Config(self.begin, ws="none")
        self.connection = HttpConnection(
            config,
            ServerState(),
            {},
            self.clock,
            application=self,
            limits=PRODUCTION,
            admission=self.admission,
        )
        self.connection.connection_made(self.transport)

    def begin(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)

    def send(self, data: bytes) -> None:
        assert self.transport.reading
        self.connection.data_received(data)

    def answer(self, body: bytes = b"") -> None:
        """Answer the request that is handled, with its path unless said otherwise."""
        exchange = self.exchanges.pop(0)
        exchange.answer(Response(200, body or exchange.scope["path"].encode()))

    def wait(self, seconds: float) -> None:
        """Let time pass, with the server's look at the clock each second."""
        for _ in range(int(seconds)):
            self.clock.now += 1
            if not self.transport.closed:
                self.connection.check_time(self.clock.now)

    @property
    def status(self) -> int:
        """Of the last answer."""
        return int(self.transport.answers.rsplit(b"HTTP/1.1 ", 1)[1][:3])

    @property
    def is_told_to_close(self) -> bool:
        return b"connection: close" in self.transport.written[-1]


@pytest.fixture
async def client():
    return Client()


async def test_requests_of_a_connection_are_handled_one_after_the_other(client):
    client.send(b"".join(GET % number for number in range(4)))
    for number in range(4):
        assert [exchange.scope["path"] for exchange in client.exchanges] == [f"/{number}"]
        assert not client.transport.reading
        client.answer()
    assert client.transport.reading
    assert [answer.rpartition(b"\r\n")[2] for answer in client.transport.written] == [b"/0", b"/1", b"/2", b"/3"]


async def test_client_that_does_not_read_has_no_further_request_handled(client):
    client.send(GET % 1)
    client.connection.pause_writing()
    client.answer(LARGE)
    # when it sends another one, then that waits, and nothing more is read
    client.send(GET % 2)
    assert client.exchanges == []
    assert not client.transport.reading
    # until it reads
    client.connection.resume_writing()
    client.answer()
    assert client.transport.written[-1].endswith(b"/2")
    assert client.transport.reading


@pytest.mark.parametrize("more", [b"", b"GET /3 HT", b"no request\r\n\r\n"])
async def test_client_that_sends_requests_and_reads_no_answers_gives_way(client, more):
    # given a stranger with an answer that it does not read, and a request that waits for that
    client.send(GET % 1)
    assert not client.connection.give_way()  # an answer is due
    client.connection.pause_writing()
    client.answer(LARGE)
    client.transport.unsent = len(LARGE)
    client.send(GET % 2 + more)
    # when the place is needed for somebody else, then it is free at once, and the request is never begun
    assert client.connection.give_way()
    client.connection.resume_writing()
    assert client.exchanges == []
    client.wait(5)
    assert client.transport.closed


@pytest.mark.parametrize("requests", [CLOSING % 1, GET % 1 + b"nonsense\r\n\r\n"])
async def test_client_that_does_not_read_its_last_answer_gives_way(client, requests):
    client.send(requests)
    client.answer(LARGE)
    client.transport.unsent = len(LARGE)
    client.wait(PRODUCTION.linger_seconds + 1)
    assert not client.transport.aborted  # it may take its time while nobody else needs the place
    assert client.connection.give_way()
    client.wait(PRODUCTION.linger_seconds + 1)
    assert client.transport.closed


async def test_answer_that_is_not_read_at_all_ends_the_connection(client):
    client.send(GET % 1)
    client.answer()
    client.transport.unsent = 100
    client.wait(PRODUCTION.unread_seconds)
    assert not client.transport.closed
    client.wait(2)
    assert client.transport.aborted


async def test_last_answer_that_is_read_slowly_is_read_to_its_end(client):
    # given a client that is refused behind its request, so that the server is careful to end
    client.send(GET % 1 + b"nonsense\r\n\r\n")
    client.answer(LARGE)
    client.transport.unsent = 100
    # when it takes longer to read than a client gets that is refused
    client.wait(PRODUCTION.linger_seconds + 5)
    assert not client.transport.closed
    # then the connection ends only after that
    client.transport.unsent = 0
    client.wait(PRODUCTION.linger_seconds + 2)
    assert client.transport.closed
    assert client.exchanges == []


async def test_client_that_goes_on_sending_after_its_last_answer_is_read_and_ignored(client):
    client.send(GET % 1 + b"nonsense\r\n\r\n")
    client.answer()
    # closing while there is something unread would reset the connection before the answer is read
    assert client.transport.ended
    assert not client.transport.closed
    for _ in range(PRODUCTION.discarded_bytes // 100_000):
        client.send(b"x" * 100_000)
    assert not client.transport.closed
    client.send(b"x" * 100_000)
    assert client.transport.aborted
    assert client.transport.answers.count(b"HTTP/1.1 ") == 1


async def test_client_that_ends_its_side_gets_its_answers(client):
    client.send(b"".join(GET % number for number in range(3)))
    assert client.connection.eof_received()  # as asyncio asks: whether to keep the connection
    for number in range(3):
        assert not client.transport.closed
        client.answer()
        assert client.is_told_to_close == (number == 2)
    assert client.transport.closed


@pytest.mark.parametrize("beginning", [b"", b"GET /1 HT", b"POST /1 HTTP/1.1\r\ncontent-length: 5\r\n\r\nhel"])
async def test_client_that_ends_its_side_amid_a_request_is_not_waited_for(client, beginning):
    client.send(beginning)
    assert not client.connection.eof_received()
    assert client.exchanges == []


async def test_what_is_incomplete_when_a_client_ends_its_side_is_dropped(client):
    client.send(GET % 1 + b"POST /2 HTTP/1.1\r\ncontent-length: 5\r\n\r\nhel")
    assert client.connection.eof_received()
    client.answer()
    assert client.is_told_to_close
    assert client.transport.closed
    assert client.exchanges == []


async def test_slow_request_is_refused_however_often_something_of_it_comes(client):
    client.wait(20)
    request = b"GET /1 HTTP/1.1\r\n"
    for byte in request[: int(PRODUCTION.request_seconds)]:
        client.send(bytes([byte]))
        client.wait(1)
    assert client.transport.written == []
    client.wait(1)
    assert client.status == 408


async def test_line_breaks_are_no_request(client):
    client.send(b"\r\n\r\n")
    client.wait(PRODUCTION.first_byte_seconds + 1)
    assert client.transport.aborted


async def test_time_passes_for_no_client_whose_bytes_the_server_does_not_read(client):
    # given a request that takes long, one behind it, and the beginning of a third
    client.send(GET % 1 + GET % 2 + b"GET /3")
    client.wait(PRODUCTION.request_seconds * 2)
    client.answer()
    client.wait(PRODUCTION.request_seconds * 2)
    client.answer()
    # when the server reads again, then the third has the whole time
    client.wait(PRODUCTION.request_seconds - 1)
    assert not client.transport.ended
    client.send(b" HTTP/1.1\r\n\r\n")
    client.answer()
    assert client.transport.written[-1].endswith(b"/3")


async def test_second_request_has_a_time_of_its_own(client):
    client.send(b"GET /1")
    client.wait(PRODUCTION.request_seconds - 2)
    client.send(b" HTTP/1.1\r\n\r\nGET /2")
    client.answer()
    client.wait(PRODUCTION.request_seconds - 2)
    assert not client.transport.ended
    client.wait(4)
    assert client.status == 408


async def test_idle_connection_ends_after_an_hour(client):
    client.send(GET % 1)
    client.answer()
    client.wait(PRODUCTION.idle_seconds)
    assert not client.transport.closed
    client.wait(3)
    assert client.transport.closed


async def test_server_that_ends_closes_an_idle_connection_at_once(client):
    client.send(GET % 1)
    client.answer()
    client.connection.shutdown()
    assert client.transport.closed


@pytest.mark.parametrize("rest", [b"", b"GET /3 HT"])
async def test_server_that_ends_answers_all_that_it_has_received(client, rest):
    client.send(GET % 1 + GET % 2 + rest)
    client.connection.shutdown()
    client.answer()
    assert not client.is_told_to_close
    client.answer()
    if rest:
        assert not client.is_told_to_close
        client.send(b"TP/1.1\r\n\r\n")
        client.answer()
    assert client.is_told_to_close
    assert client.transport.ended or client.transport.closed


async def test_server_that_ends_waits_for_the_rest_of_a_request(client):
    client.send(b"POST /1 HTTP/1.1\r\ncontent-length: 5\r\n\r\nhel")
    client.connection.shutdown()
    client.send(b"lo")
    assert client.exchanges[0].body == b"hello"
    client.answer()
    assert client.is_told_to_close
    assert client.transport.closed


async def test_answer_after_the_client_has_gone_is_for_nobody(client):
    client.send(GET % 1 + GET % 2)
    client.connection.connection_lost(ConnectionResetError())
    client.answer()
    assert client.transport.written == []
    assert client.exchanges == []  # nor is what waited handled


async def test_refusal_behind_requests_is_their_end(client):
    client.send(GET % 1 + GET % 2 + b"\x00\x00")
    assert not client.transport.reading
    client.answer()
    client.answer()
    assert client.is_told_to_close
    assert client.transport.answers.count(b"HTTP/1.1 200") == 2
    assert client.transport.ended
    # and it does not wait for ever for the client to close
    client.wait(PRODUCTION.linger_seconds + 2)
    assert client.transport.aborted


async def test_continue_waits_for_the_answers_to_earlier_requests(client):
    client.send(GET % 1 + b"POST /2 HTTP/1.1\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n")
    assert client.transport.written == []
    client.answer()
    assert client.transport.written[1:] == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    client.send(b"{}")
    client.answer()
    assert client.transport.written[-1].endswith(b"/2")


async def test_answers_come_in_the_order_of_their_requests_however_long_they_take():
    # given clients that send requests one behind the other, in pieces of any size
    async def served(number: int) -> bytes:
        transport, state = RecordedTransport(), ServerState()

        class Slow:
            def begin(self, exchange: Exchange) -> None:
                exchange.respond(self.respond(exchange.scope["path"]))

            async def respond(self, path: str) -> Response:
                for _ in range(hash((number, path)) % 7):
                    await asyncio.sleep(0)
                return Response(200, path.encode())

        slow = Slow()
        connection = HttpConnection(
            uvicorn.Config(slow.respond, ws="none"),
            state,
            {},
            application=slow,
            limits=PRODUCTION,
            admission=Admission(PRODUCTION),
        )
        connection.connection_made(transport)
        data = b"".join(GET % (100 * number + index) for index in range(20))
        size = 1 + number * 7
        for start in range(0, len(data), size):
            while not transport.reading:  # noqa: ASYNC110  # nothing tells: the connection is under test
                await asyncio.sleep(0)
            connection.data_received(data[start : start + size])
        while state.tasks:  # noqa: ASYNC110  # likewise
            await asyncio.sleep(0)
        connection.connection_lost(None)
        return transport.answers

    for number, answers in enumerate(await asyncio.gather(*(served(number) for number in range(20)))):
        bodies = [part.partition(b"\r\n\r\n")[2] for part in answers.split(b"HTTP/1.1 200 OK\r\n")[1:]]
        assert bodies == [b"/%d" % (100 * number + index) for index in range(20)]


def sharing(number: int, unread_bytes: int) -> list[Client]:
    """Clients of one server, which may leave so many bytes unread together."""
    admission = Admission(replace(PRODUCTION, unread_bytes=unread_bytes))
    return [Client(admission=admission) for _ in range(number)]


async def test_clients_that_do_not_read_share_a_budget():
    # given a client that reads, and two that leave something unread
    reader, small, large = sharing(3, unread_bytes=100_000)
    for client in (reader, small, large):
        client.send(GET % 1)
        client.answer(LARGE)
    small.transport.unsent, large.transport.unsent = 40_000, 60_000
    for client in (reader, small, large):
        client.wait(1)
    assert not large.transport.closed

    # when these have more unread than all may together, then the one with the most of it is dropped
    small.transport.unsent = 40_001
    small.wait(1)
    assert large.transport.aborted
    assert not small.transport.closed
    assert not reader.transport.closed


@pytest.mark.parametrize("request_", [GET % 1, CLOSING % 1])
async def test_answers_that_are_not_read_count_before_the_next_second(request_):
    # given clients that leave their answers unread
    clients = sharing(3, unread_bytes=100_000)
    for client, unsent in zip(clients, (40_000, 50_000, 30_000), strict=True):
        client.send(request_)
        client.transport.unsent = unsent
        client.answer(LARGE)
    # then the one with the most is dropped although the server has not looked at the clock yet
    assert [client.transport.aborted for client in clients] == [False, True, False]


async def test_requests_that_wait_count_as_unread():
    # given two clients whose requests wait for the answers to earlier ones
    headers = b"".join(b"x-%d: 1\r\n" % number for number in range(90))
    request = b"GET / HTTP/1.1\r\n" + headers + b"\r\n"
    small, large = sharing(2, unread_bytes=150_000)
    small.send(request * 2)
    # when the other one has far more of them
    large.send(request * 16)
    # then it is dropped, and what it had is free for others
    assert large.transport.aborted
    assert not small.transport.closed
    large.connection.connection_lost(None)
    small.answer()
    small.answer()
    small.send(request * 8)
    assert not small.transport.closed
