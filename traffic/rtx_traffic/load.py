"""Sends the schedule open-loop: each request is sent when due, regardless of pending responses."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

import msgspec

from .connection import Connection, RequestError, Response, Target
from .ledger import Failure, Kind, Lane, Order, OrderAnswer, Request
from .recorder import Recorder
from .schedule import READ_PATHS, OrderSource, ScheduledRequest
from .sessions import Session

MAX_QUEUE_SECONDS = 1.0  # wait of a due request for a free connection; after that it counts as unsent
ORDER_PATH = "/api/orders/market"
ORDER_STATUSES = (200, 201)  # a repeat, a new fill
READ_STATUSES = (200,)

_answers = msgspec.json.Decoder(OrderAnswer)


class _Error(msgspec.Struct):
    reason: str


class _ErrorBody(msgspec.Struct):
    error: _Error


class Load:
    """Sends one run's requests; each ends as one record."""

    def __init__(
        self, *, target: Target, sessions: Sequence[Session], orders: OrderSource, keep_alive: int, recorder: Recorder
    ) -> None:
        self._target = target
        self._sessions = {session.account_id: session for session in sessions}
        self._readers = itertools.cycle(sessions)  # in turn: an account has a share of the engine's queue of reads
        self._orders = orders
        self._recorder = recorder
        self._lanes: asyncio.Queue[Connection | None] = asyncio.Queue()
        for _ in range(keep_alive):
            self._lanes.put_nowait(None)
        self._in_flight: set[asyncio.Task[None]] = set()
        self.due = 0  # due requests so far, counted before they are sent

    async def run(self, schedule: Iterable[ScheduledRequest], stop: asyncio.Event) -> None:
        """Send due requests until the schedule ends or `stop` is set; then wait for the pending responses.

        A request that was due before the stop was noticed is still sent and recorded.
        """
        clock = self._recorder.clock
        start = clock()
        for due in schedule:
            wait = start + due.at - clock()
            if wait > 0:
                if stop.is_set():
                    break
                await asyncio.sleep(wait)
            self.due += 1
            task = asyncio.create_task(self._send(due, start + due.at))
            self._recorder.watch(task, f"request {due.number}")
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)
        if self._in_flight:
            await asyncio.wait(self._in_flight)

    def close(self) -> None:
        while not self._lanes.empty():
            if connection := self._lanes.get_nowait():
                connection.close()

    async def _send(self, due: ScheduledRequest, due_at: float) -> None:
        kind, path, message, order = self._build_request(due)
        sent, status, failure, detail, answer, version = None, None, None, "", None, ""
        try:
            async with self._connection(due.lane, due_at) as connection:
                sent = self._recorder.clock()
                reply = await connection.send(message)
            status, version = reply.status, reply.version
            failure, detail = _failure_from(reply, ORDER_STATUSES if order else READ_STATUSES)
            if order and not failure:
                answer = _answers.decode(reply.body)
        except RequestError as error:
            failure, detail = error.failure, error.detail
        except msgspec.DecodeError as error:
            failure, detail = Failure.MALFORMED, str(error)
        self._recorder.record(
            Request(
                kind=kind,
                lane=due.lane,
                due=due_at,
                sent=sent,
                ended=self._recorder.clock(),
                status=status,
                failure=failure,
                detail=detail,
                path=path,
                version=version,
                order=order,
                answer=answer,
                number=due.number,
            )
        )

    def _build_request(self, due: ScheduledRequest) -> tuple[Kind, str, bytes, Order | None]:
        """The request's kind, path, bytes and order. A repeat before the first order becomes an order."""
        if due.kind is Kind.READ:
            path = READ_PATHS[due.number % len(READ_PATHS)]
            return due.kind, path, self._target.message("GET", path, token=next(self._readers).token), None
        repeated = self._orders.repeat() if due.kind is Kind.REPEAT else None
        order = repeated or self._orders.fresh(due.number)
        body = msgspec.json.encode(
            {
                "client_order_id": order.client_order_id,
                "symbol": order.symbol,
                "side": order.side,
                "quantity": order.quantity,
            }
        )
        message = self._target.message("POST", ORDER_PATH, token=self._sessions[order.account_id].token, body=body)
        return Kind.REPEAT if repeated else Kind.ORDER, ORDER_PATH, message, order

    @asynccontextmanager
    async def _connection(self, lane: Lane, due_at: float) -> AsyncIterator[Connection]:
        """A connection of the lane. Raises RequestError."""
        if self._recorder.clock() - due_at > MAX_QUEUE_SECONDS:
            raise RequestError(Failure.UNSENT, "the load generator is short of CPU")
        if lane is Lane.NEW:
            connection = await Connection.open(self._target)
            try:
                yield connection
            finally:
                connection.close()
            return
        kept = await self._free_lane()
        try:
            # A connection that the server closed while idle is replaced, as every client does: no request failed.
            if kept is None or not kept.usable:
                kept = await Connection.open(self._target)
            yield kept
        finally:
            self._lanes.put_nowait(kept)

    async def _free_lane(self) -> Connection | None:
        try:
            async with asyncio.timeout(MAX_QUEUE_SECONDS):
                return await self._lanes.get()
        except TimeoutError:
            raise RequestError(Failure.UNSENT, "every keep-alive connection is waiting for an answer") from None


def _failure_from(answer: Response, expected: Sequence[int]) -> tuple[Failure | None, str]:
    if answer.status in expected:
        return None, ""
    if answer.status < 400:
        return Failure.MALFORMED, f"status {answer.status}"
    try:
        detail = msgspec.json.decode(answer.body, type=_ErrorBody).error.reason
    except msgspec.DecodeError:
        detail = answer.body[:100].decode(errors="replace")
    return (Failure.SERVER_ERROR if answer.status >= 500 else Failure.CLIENT_ERROR), f"{answer.status} {detail}"
