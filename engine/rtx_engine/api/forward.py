"""What happens to a client's request at a pod whose colour the fence does not name.

The first pod sends it on to the colour that executes and hands its answer back; a pod that gets a request so never
sends it on again. Nothing is done twice: an order travels under the id that the first pod gave it, which the database
has once, so each try may be the second. Every wait has an end: Times.forward_budget for the first pod, PATIENCE for the
second.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum

import msgspec

from rtx_engine import metrics
from rtx_engine.api import peer
from rtx_engine.api.context import Activity
from rtx_engine.api.errors import RETRY, ApiError, ErrorBody, ErrorReason
from rtx_engine.api.http import Response, Scope, header
from rtx_engine.api.peer import Peers
from rtx_engine.api.peer_client import NoResponseError, PeerClient, PeerRequest, UnreachableError
from rtx_engine.store import OrderError, OrderErrorReason, Store, UnavailableError

PATIENCE = 3.0  # seconds that the second pod waits to be named
PAUSE = 0.05  # seconds between tries
MOST = 512  # requests under way to the other colour

_ORDER_PATH = "/api/orders/market"
# Asking these a second time gives another answer than the first: they are sent again only if they did not arrive.
_NOT_REPEATED = frozenset({("POST", "/api/admin/accounts")})
_HANDED_ON = (b"authorization", b"content-type")

_FENCED = "another colour executes now and was not reached in time; try again, an order with the same client_order_id"
_NOT_NAMED = "this colour does not execute; try again with the same client_order_id"

Here = Callable[[], Awaitable[None]]  # answer the request in this pod; raises before anything has been sent


class ForwardResult(StrEnum):
    """What came of a request that this pod was not to execute."""

    ANSWERED = "answered"  # by the other colour
    EXECUTED_HERE = "executed-here"  # the fence has come to name this colour meanwhile
    FENCED = "fenced"  # nobody who executes was reached in time
    UNKNOWN = "unknown"  # it may have been done, and must not be asked for again
    OVERLOADED = "overloaded"  # too many are under way


class Receiver:
    """Answers requests that a pod of the other colour has sent on to us."""

    def __init__(self, store: Store, peers: Peers) -> None:
        self._store = store
        self._peers = peers

    async def answer(self, scope: Scope, here: Here) -> None:
        """Response here once the fence names us. Raises OrderError (Fenced) when it does not come to."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + PATIENCE
        known = self._peers.epoch(scope)
        while clock() < deadline:
            if self._store.fence.executing:
                try:
                    return await here()
                except OrderError as error:
                    if error.reason is not OrderErrorReason.FENCED:
                        raise
            elif await self._is_named_no_more(known):
                break
            else:
                await self._store.fence.changes_within(PAUSE)
        raise OrderError(OrderErrorReason.FENCED, _NOT_NAMED)

    async def _is_named_no_more(self, known: int | None) -> bool:
        """Whether the row, read now, has moved on since the pod that sends saw it name us: waiting would not help."""
        try:
            state = await self._store.read_fence()
        except UnavailableError:
            return False
        if state is None or known is None or self._store.fence.executing:
            return False
        return state.epoch > known


class Forwarder:
    """Sends requests on to the colour that the fence names."""

    def __init__(
        self, store: Store, peers: Peers, peer_client: PeerClient, activity: Activity, colour: str, budget: float
    ) -> None:
        """`budget`: seconds for one request, all tries included."""
        self._store = store
        self._peers = peers
        self._peer_client = peer_client
        self._activity = activity
        self._colour = colour
        self._budget = budget
        self._under_way = 0

    async def answer(self, scope: Scope, body: bytes, here: Here) -> Response | None:
        """The other colour's answer; None when `here` has answered, since the fence names us again.

        Raises OrderError (Fenced), ApiError (503), and what `here` raises but for Fenced.
        """
        if self._under_way >= MOST:
            metrics.forwarded_requests(ForwardResult.OVERLOADED).inc()
            message = "Too many requests wait for the colour that executes: try again in a second."
            raise ApiError(503, ErrorReason.BUSY, message, headers=RETRY)
        self._under_way += 1
        self._activity.forwarded += 1
        try:
            return await self._answer(scope, body, here)
        finally:
            self._under_way -= 1

    async def _answer(self, scope: Scope, body: bytes, here: Here) -> Response | None:
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._budget
        while (left := deadline - clock()) > 0:
            if self._store.fence.executing:
                if await _executed(here):
                    metrics.forwarded_requests(ForwardResult.EXECUTED_HERE).inc()
                    return None
                continue
            answer = await self._try(scope, body, left)
            if answer is not None:
                metrics.forwarded_requests(ForwardResult.ANSWERED).inc()
                return answer
            await asyncio.sleep(min(PAUSE, max(0.0, deadline - clock())))
            await self._look()
        metrics.forwarded_requests(ForwardResult.FENCED).inc()
        raise OrderError(OrderErrorReason.FENCED, _FENCED)

    async def _try(self, scope: Scope, body: bytes, left: float) -> Response | None:
        """One try. None: nothing was done that asking again would do twice."""
        state = self._store.fence.state
        named = [colour for colour in state.executors if colour != self._colour] if state else []
        if state is None or not named:
            return None
        try:
            answer = await self._peer_client.send(named[0], self._peer_request(scope, body, state.epoch), left)
        except UnreachableError:
            return None
        except NoResponseError as error:
            if not _is_repeatable(scope):
                metrics.forwarded_requests(ForwardResult.UNKNOWN).inc()
                message = "The answer got lost: look whether it was done before you ask again."
                raise ApiError(503, OrderErrorReason.OUTCOME_UNKNOWN, message) from error
            return None
        return None if _is_fenced(answer) else answer

    def _peer_request(self, scope: Scope, body: bytes, epoch: int) -> PeerRequest:
        headers = [(name, value) for name in _HANDED_ON if (value := header(scope, name)) is not None]
        headers += [(peer.HOP, b"1"), (peer.EPOCH, b"%d" % epoch)]
        if scope["path"] == _ORDER_PATH:
            headers.append((peer.ORDER_ID, str(self._peers.order_id(scope)).encode()))
        client = scope.get("client")
        addresses = [header(scope, b"x-forwarded-for"), client[0].encode() if client else b"unknown"]
        headers.append((b"x-forwarded-for", b", ".join(address for address in addresses if address)))
        path, query = scope["raw_path"], scope["query_string"]
        # HEAD goes as GET: whoever sends the answer on leaves its body out.
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        target = b"%b?%b" % (path, query) if query else path
        return PeerRequest(method.encode(), target, headers, body, new_connection=not _is_repeatable(scope))

    async def _look(self) -> None:
        try:
            await self._store.read_fence()
        except UnavailableError:
            return  # what we know has to do


async def _executed(here: Here) -> bool:
    """Response here, unless the fence has moved once more."""
    try:
        await here()
    except OrderError as error:
        if error.reason is not OrderErrorReason.FENCED:
            raise
        return False
    return True


def _is_repeatable(scope: Scope) -> bool:
    return (scope["method"], scope["path"]) not in _NOT_REPEATED


def _is_fenced(answer: Response) -> bool:
    if answer.status != 503:
        return False
    try:
        reason = msgspec.json.decode(answer.body, type=ErrorBody).error.reason
    except msgspec.DecodeError:
        return False
    return reason == OrderErrorReason.FENCED
