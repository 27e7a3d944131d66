"""Forwards requests from a pod whose colour the fence does not name to the colour that it names.

The first pod forwards the request and returns the response; the second pod never forwards again. Repeating a forward is
safe: the first pod gives an order its id, and the database accepts each id once. Every wait is bounded:
Timeouts.forward_seconds in the first pod, HOP_TIMEOUT_SECONDS in the second.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from rtx_engine import metrics
from rtx_engine.api import peer
from rtx_engine.api.client_address import FORWARDED_FOR, UNKNOWN, forwarded_for
from rtx_engine.api.context import Context
from rtx_engine.api.error_mapping import to_api_error
from rtx_engine.api.errors import RETRY, ApiError, ErrorBody, ErrorReason
from rtx_engine.api.http import Response, Scope, header
from rtx_engine.api.peer import Peers
from rtx_engine.api.peer_client import NoResponseError, PeerClient, PeerRequest, UnreachableError
from rtx_engine.api.places import Places
from rtx_engine.api.senders import Sender, Senders
from rtx_engine.store import (
    OrderError,
    OrderErrorReason,
    OverloadedError,
    Store,
    TooManyWaitingError,
    UnavailableError,
)

HOP_TIMEOUT_SECONDS = 3.0  # how long the second pod waits for the fence to name its colour
RETRY_INTERVAL_SECONDS = 0.05
# In flight. An account, or an address without a token, has a fifth at most (places.py): as many as it may have orders
# that wait for their results (writer.Limits.max_of_account).
MAX_FORWARDS = 1280

_ORDER_PATH = "/api/orders/market"
_CHANGES_ACCOUNT = re.compile(r"/api/admin/accounts/[0-9]+/(deposits|withdrawals|revoke)")
# Not repeatable: retried only if the request was not sent. A new password ends the token that it was asked with.
_NOT_IDEMPOTENT = frozenset({("POST", "/api/admin/accounts"), ("POST", "/api/password")})
_FORWARDED_HEADERS = (b"authorization", b"content-type")

_FENCED = "the colour that executes was not reached in time; try again, an order with the same client_order_id"
_LOST = "the answer of the colour that executes was lost; try again with the same id to get the outcome"
_NOT_NAMED = "this colour does not execute; try again with the same id"

# What an answer must have to tell of the order, transfer or revocation itself: what became of it, or that there can be
# none of this id or account, or by this time. Any other tells at most that this attempt has done nothing, and nothing
# of any before: the token has expired since, too much waits, or the release before knows no such request.
_CONCLUSIVE_STATUSES = frozenset({200, 201, 422})
_CONCLUSIVE_REASONS = frozenset({OrderErrorReason.CONFLICT, OrderErrorReason.UNKNOWN_ACCOUNT, OrderErrorReason.EXPIRED})

LocalHandler = Callable[[], Awaitable[Response]]  # responds in this pod


@dataclass(frozen=True, slots=True)
class Forwarded:
    """`executed_here`: in this pod, because the fence names its colour again."""

    response: Response
    executed_here: bool


class _AnswerLostError(Exception):
    """An attempt at what changes an account was sent and not answered. To repeat it is safe, but it may be done."""


class ForwardResult(StrEnum):
    """The outcome of a request that came to a colour that does not execute."""

    ANSWERED = "answered"  # by the other colour
    EXECUTED_HERE = "executed-here"  # the fence named this colour in the meantime
    FENCED = "fenced"  # no executor was reached in time
    UNKNOWN = "unknown"  # it may have taken effect
    OVERLOADED = "overloaded"  # as many as may be were in flight: in all, or of this account or address


class Receiver:
    """Responds to requests forwarded by a pod of the other colour."""

    def __init__(self, store: Store, peers: Peers) -> None:
        self._store = store
        self._peers = peers

    async def respond(self, scope: Scope, respond_locally: LocalHandler) -> Response:
        """Respond once the fence names this colour. Raises OrderError (Fenced) after HOP_TIMEOUT_SECONDS."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + HOP_TIMEOUT_SECONDS
        known = self._peers.epoch(scope)
        while clock() < deadline:
            if self._store.fence.executing:
                try:
                    return await respond_locally()
                except OrderError as error:
                    if error.reason is not OrderErrorReason.FENCED:
                        raise
            elif await self._fence_has_moved_on(known):
                break
            else:
                await self._store.fence.wait_for_change(RETRY_INTERVAL_SECONDS)
        raise OrderError(OrderErrorReason.FENCED, _NOT_NAMED)

    async def _fence_has_moved_on(self, known: int | None) -> bool:
        """Whether the fence is past epoch `known`, at which the sender saw it name this colour: stop waiting then."""
        try:
            state = await self._store.read_fence()
        except UnavailableError:
            return False
        if state is None or known is None or self._store.fence.executing:
            return False
        return state.epoch > known


class Forwarder:
    """Forwards requests to the colour that the fence names."""

    def __init__(self, context: Context, peer_client: PeerClient) -> None:
        self._store = context.store
        self._peers = context.peers
        self._peer_client = peer_client
        self._activity = context.activity
        self._colour = context.settings.colour.value
        self._timeout_seconds = context.timeouts.forward_seconds  # for one request, all attempts included
        self._senders = Senders(context)
        self._places = Places[Sender](MAX_FORWARDS)

    async def respond(self, scope: Scope, body: bytes, respond_locally: LocalHandler) -> Forwarded:
        """The other colour's response; that of `respond_locally` if the fence names this colour again.

        Raises OrderError (Fenced; OutcomeUnknown after a lost answer), ApiError (429, 503), and the errors of
        `respond_locally` except Fenced.
        """
        with self._places.take(self._senders.of(scope), self._refusal):
            self._activity.forwarded += 1
            return await self._respond_until_timeout(scope, body, respond_locally)

    def _refusal(self) -> ApiError:
        metrics.forwarded_requests(ForwardResult.OVERLOADED).inc()
        if self._places.full:
            message = "Too many requests are being forwarded: try again in a second."
            return ApiError(503, ErrorReason.BUSY, message, headers=RETRY)
        message = "Too many of your requests are being forwarded: try again in a second."
        return ApiError(429, ErrorReason.TOO_MANY_REQUESTS, message, headers=RETRY)

    async def _respond_until_timeout(self, scope: Scope, body: bytes, respond_locally: LocalHandler) -> Forwarded:
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._timeout_seconds
        lost = False  # an answer: from then on only a conclusive one is true
        while (remaining := deadline - clock()) > 0:
            if self._store.fence.executing:
                response = await _respond_unless_fenced(respond_locally, lost=lost)
                if response is not None:
                    metrics.forwarded_requests(ForwardResult.EXECUTED_HERE).inc()
                    return Forwarded(response, executed_here=True)
                continue
            try:
                response = await self._forward_once(scope, body, remaining)
            except _AnswerLostError:
                response, lost = None, True
            if response is not None:
                if lost and not _is_conclusive(response.status, _reason(response)):
                    break
                metrics.forwarded_requests(ForwardResult.ANSWERED).inc()
                return Forwarded(response, executed_here=False)
            await asyncio.sleep(min(RETRY_INTERVAL_SECONDS, max(0.0, deadline - clock())))
            await self._read_fence()
        metrics.forwarded_requests(ForwardResult.UNKNOWN if lost else ForwardResult.FENCED).inc()
        if lost:
            raise OrderError(OrderErrorReason.OUTCOME_UNKNOWN, _LOST)
        raise OrderError(OrderErrorReason.FENCED, _FENCED)

    async def _forward_once(self, scope: Scope, body: bytes, remaining: float) -> Response | None:
        """One attempt. None: it did nothing, and may be repeated. Raises _AnswerLostError."""
        state = self._store.fence.state
        # The own colour executes without this pod when the fence names another revision of it.
        executing = self._store.fence.executing
        named = [colour for colour in state.executors if colour != self._colour or not executing] if state else []
        if state is None or not named:
            return None
        try:
            response = await self._peer_client.send(named[0], self._peer_request(scope, body, state.epoch), remaining)
        except UnreachableError:
            return None
        except NoResponseError as error:
            if not _is_idempotent(scope):
                metrics.forwarded_requests(ForwardResult.UNKNOWN).inc()
                message = "The response was lost: check whether the request took effect before you repeat it."
                raise ApiError(503, OrderErrorReason.OUTCOME_UNKNOWN, message) from error
            if _changes_account(scope):
                raise _AnswerLostError from error
            return None
        return None if _is_fenced(response) else response

    def _peer_request(self, scope: Scope, body: bytes, epoch: int) -> PeerRequest:
        headers = [(name, value) for name in _FORWARDED_HEADERS if (value := header(scope, name)) is not None]
        headers += [(peer.HOP, b"1"), (peer.EPOCH, b"%d" % epoch)]
        if scope["path"] == _ORDER_PATH:
            headers.append((peer.ORDER_ID, str(self._peers.order_id(scope)).encode()))
        client = scope.get("client")
        # The listener serves both families: an IPv4 client has an IPv6 address that embeds its own.
        address = client[0].removeprefix("::ffff:") if client else UNKNOWN
        headers.append((FORWARDED_FOR, ", ".join([*forwarded_for(scope), address]).encode("latin-1")))
        path, query = scope["raw_path"], scope["query_string"]
        # HEAD is forwarded as GET; http_connection.py leaves out the body of the response to a HEAD request.
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        target = b"%b?%b" % (path, query) if query else path
        return PeerRequest(method.encode(), target, headers, body, new_connection=not _is_idempotent(scope))

    async def _read_fence(self) -> None:
        try:
            await self._store.read_fence()
        except UnavailableError:
            return  # continue with the last known state


async def _respond_unless_fenced(respond_locally: LocalHandler, *, lost: bool) -> Response | None:
    """Respond in this pod. None if the fence moved away again. `lost`: the order may have been placed before."""
    try:
        return await respond_locally()
    except (ApiError, OrderError, UnavailableError, OverloadedError, TooManyWaitingError) as error:
        api_error = to_api_error(error)
        if api_error.reason is OrderErrorReason.FENCED:
            return None
        if lost and not _is_conclusive(api_error.status, api_error.reason):
            raise OrderError(OrderErrorReason.OUTCOME_UNKNOWN, _LOST) from error
        raise


def _is_conclusive(status: int, reason: str | None) -> bool:
    return status in _CONCLUSIVE_STATUSES or reason in _CONCLUSIVE_REASONS


def _is_idempotent(scope: Scope) -> bool:
    return (scope["method"], scope["path"]) not in _NOT_IDEMPOTENT


def _changes_account(scope: Scope) -> bool:
    """Whether the request is an order, a transfer or a revocation: its client must know whether it is done."""
    return scope["path"] == _ORDER_PATH or _CHANGES_ACCOUNT.fullmatch(scope["path"]) is not None


def _is_fenced(response: Response) -> bool:
    return response.status == 503 and _reason(response) == OrderErrorReason.FENCED


def _reason(response: Response) -> str | None:
    """The reason in the body of an error; None if it has none."""
    try:
        return msgspec.json.decode(response.body, type=ErrorBody).error.reason
    except msgspec.DecodeError:
        return None
