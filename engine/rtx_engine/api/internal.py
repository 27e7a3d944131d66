"""What the operator asks a pod, under /internal/. Without the peers' secret there is no such path."""

from collections.abc import Mapping

import msgspec

from rtx_engine.api.context import Context
from rtx_engine.api.errors import ApiError, ErrorReason, bad_request
from rtx_engine.api.http import Handler, Response, Scope
from rtx_engine.api.request_bodies import Request, decode
from rtx_engine.api.request_stats import ServedRequests

PREFIX = "/internal/"
LONGEST_DRAIN = 3600.0  # seconds

_encode = msgspec.json.Encoder().encode


class Status(msgspec.Struct, frozen=True):
    """How this pod is. Counts are since it started; `epoch` is null until the fence has been read."""

    pod: str
    colour: str
    version: str
    epoch: int | None
    executors: list[str]
    executing: bool
    draining: bool
    ending: bool
    websockets: int
    quiet_seconds: float  # since a client last asked something; 0 while it is answered
    forwarded: int
    drained_connections: int
    executed: ServedRequests | None


class Reach(msgspec.Struct, frozen=True):
    """Whether this pod gets an answer from the other colour; `error` is a sentence when not."""

    reaches: bool
    colour: str
    error: str


class DrainRequest(Request, frozen=True):
    epoch: int
    seconds: float

    HINTS = {  # noqa: RUF012  # a ClassVar of Request
        "epoch": "the fence's epoch since which another colour executes",
        "seconds": "over how many seconds the WebSockets are closed",
    }


class Draining(msgspec.Struct, frozen=True):
    """The WebSockets of this pod are being closed."""

    draining: bool


class InternalRoutes:
    """By path and method, as the application looks them up."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.table: Mapping[str, Mapping[str, Handler]] = {
            "/internal/status": {"GET": self.status},
            "/internal/reach": {"GET": self.reach},
            "/internal/drain": {"POST": self.drain},
        }

    async def status(self, _scope: Scope, _body: bytes) -> Response:
        """What this pod knows, from memory: it never waits."""
        context = self._context
        fence, activity, stream = context.store.fence, context.activity, context.stream
        status = Status(
            pod=context.settings.pod_name,
            colour=context.settings.colour,
            version=context.version,
            epoch=fence.state.epoch if fence.state else None,
            executors=list(fence.state.executors) if fence.state else [],
            executing=fence.executing,
            draining=stream.drain.active,
            ending=activity.ending,
            websockets=stream.connections,
            quiet_seconds=activity.quiet_seconds(),
            forwarded=activity.forwarded,
            drained_connections=stream.drain.closed,
            executed=context.request_stats.served(),
        )
        return Response(200, _encode(status))

    async def reach(self, _scope: Scope, _body: bytes) -> Response:
        """Try to reach the other colour, over a new connection."""
        other = self._context.settings.colour.other.value
        if self._context.peer_client is None:
            return Response(200, _encode(Reach(False, other, "PEER_SERVICE is not set: nothing can be forwarded.")))
        error = await self._context.peer_client.reach(other)
        return Response(200, _encode(Reach(not error, other, error and f"{error}.")))

    async def drain(self, _scope: Scope, body: bytes) -> Response:
        """Send clients elsewhere, unless the fence, read now, names this colour or another epoch than the caller's.

        So an operator that slept through its successor's work does no harm.
        """
        wanted = decode(body, DrainRequest)
        if not 0 <= wanted.seconds <= LONGEST_DRAIN:
            raise bad_request(f"seconds is {wanted.seconds}: give 0 to {LONGEST_DRAIN:.0f}.")
        state = await self._context.store.read_fence()
        if state is None or self._context.store.fence.executing or state.epoch != wanted.epoch:
            found = "nobody" if state is None else f"{', '.join(state.executors)} at epoch {state.epoch}"
            raise ApiError(
                409,
                ErrorReason.CONFLICT,
                f"The fence names {found} and this pod is {self._context.settings.colour}: "
                f"it drains when another colour is named at epoch {wanted.epoch}; look again.",
            )
        self._context.stream.drain.begin(wanted.seconds)
        return Response(200, _encode(Draining(draining=True)))
