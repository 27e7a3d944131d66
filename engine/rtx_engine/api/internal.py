"""The API for the operator, under /internal/. Without the peer secret it answers 404."""

from collections.abc import Mapping

import msgspec

from rtx_engine.api.context import Context
from rtx_engine.api.errors import ApiError, ErrorReason, bad_request
from rtx_engine.api.http import Handler, Response, Scope
from rtx_engine.api.request_bodies import Request, decode
from rtx_engine.api.request_stats import ServedRequests

PREFIX = "/internal/"
MAX_DRAIN_SECONDS = 3600.0

_encode = msgspec.json.Encoder().encode


class Status(msgspec.Struct, frozen=True):
    """The state of this pod. Counters are since its start; `epoch` is null until it has read the fence."""

    pod: str
    colour: str
    version: str
    revision: str  # of the release's pods, as the operator names it; empty outside of Kubernetes
    epoch: int | None
    executors: list[str]
    executing: bool
    draining: bool
    ending: bool
    websockets: int
    quiet_seconds: float  # since a client's last request ended; 0 while one is in flight
    forwarded: int
    drained_connections: int
    executed: ServedRequests | None


class Reach(msgspec.Struct, frozen=True):
    """Whether this pod reaches the other colour; if not, `error` is one sentence."""

    reaches: bool
    colour: str
    error: str


class DrainRequest(Request, frozen=True):
    epoch: int
    seconds: float

    HINTS = {  # noqa: RUF012  # a ClassVar of Request
        "epoch": "the epoch of the fence, which names another colour",
        "seconds": "over how many seconds to close the WebSockets",
    }


class Draining(msgspec.Struct, frozen=True):
    """This pod closes its WebSockets."""

    draining: bool


class InternalRoutes:
    """The routes, in `table` by path and method."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.table: Mapping[str, Mapping[str, Handler]] = {
            "/internal/status": {"GET": self.status},
            "/internal/reach": {"GET": self.reach},
            "/internal/drain": {"POST": self.drain},
        }

    async def status(self, _scope: Scope, _body: bytes) -> Response:
        """The state of this pod, from memory: never waits."""
        context = self._context
        fence, activity, stream = context.store.fence, context.activity, context.stream
        status = Status(
            pod=context.settings.pod_name,
            colour=context.settings.colour,
            version=context.version,
            revision=context.settings.revision,
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
        """Query the other colour over a new connection."""
        other = self._context.settings.colour.other.value
        if self._context.peer_client is None:
            return Response(200, _encode(Reach(False, other, "PEER_SERVICE is not set: forwarding is off.")))
        error = await self._context.peer_client.reach(other)
        return Response(200, _encode(Reach(not error, other, error and f"{error}.")))

    async def drain(self, _scope: Scope, body: bytes) -> Response:
        """Drain this pod. Refuses (409) if the fence, read now, names this colour or is not at the caller's epoch.

        The check makes a former leader that resumes after a pause harmless.
        """
        wanted = decode(body, DrainRequest)
        if not 0 <= wanted.seconds <= MAX_DRAIN_SECONDS:
            raise bad_request(f"seconds is {wanted.seconds}: give 0 to {MAX_DRAIN_SECONDS:.0f}.")
        state = await self._context.store.read_fence()
        if state is None or self._context.store.fence.executing or state.epoch != wanted.epoch:
            found = "no colour" if state is None else f"{', '.join(state.executors)} at epoch {state.epoch}"
            raise ApiError(
                409,
                ErrorReason.CONFLICT,
                f"The fence names {found} and this pod is {self._context.settings.colour}: "
                f"it drains only if the fence names another colour at epoch {wanted.epoch}; read the status again.",
            )
        self._context.stream.drain.begin(wanted.seconds)
        return Response(200, _encode(Draining(draining=True)))
