"""What the routes work with, and what the server needs to know of their work."""

import time
from dataclasses import dataclass, field

from rtx_engine.api.errors import ApiError, ErrorReason, unauthorized
from rtx_engine.api.http import Scope, header
from rtx_engine.api.passwords import Passwords
from rtx_engine.api.peer import Peers
from rtx_engine.api.peer_client import PeerClient
from rtx_engine.api.request_stats import RequestStats
from rtx_engine.api.tokens import BadTokenError, Claims, Role, Tokens
from rtx_engine.config import Settings
from rtx_engine.feed.source import PriceSource
from rtx_engine.store import Store
from rtx_engine.stream import Stream
from rtx_engine.times import Times


@dataclass(slots=True)
class Activity:
    """Requests under way, and whether the pod is about to end. Probes do not count: they go on to the last."""

    ending: bool = False
    forwarded: int = 0  # requests that were sent on to another colour
    under_way: int = 0
    last: float = field(default_factory=time.monotonic)

    def begin(self) -> None:
        self.under_way += 1

    def end(self) -> None:
        self.under_way -= 1
        self.last = time.monotonic()

    def quiet_seconds(self) -> float:
        """How long nothing has been asked or is being answered."""
        return 0.0 if self.under_way else time.monotonic() - self.last


@dataclass(frozen=True, slots=True)
class Context:
    """Everything a route may use."""

    settings: Settings
    times: Times
    version: str
    store: Store
    source: PriceSource
    tokens: Tokens
    passwords: Passwords
    activity: Activity
    stream: Stream
    peers: Peers
    peer_client: PeerClient | None  # None: nothing is forwarded
    request_stats: RequestStats

    def claims(self, scope: Scope) -> Claims:
        """Who asks. Raises ApiError (401)."""
        value = header(scope, b"authorization")
        if value is None:
            raise unauthorized("The Authorization header is missing: send 'Bearer' and a token of POST /api/login.")
        scheme, _, token = value.decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise unauthorized("The Authorization header is not a bearer token: send 'Bearer' and a token.")
        try:
            return self.tokens.verify(token.strip())
        except BadTokenError as error:
            raise unauthorized(str(error)) from error

    def account_id(self, scope: Scope) -> int:
        """The account that asks. Raises ApiError (401, 403)."""
        account_id = self.claims(scope).account_id
        if account_id is None:
            raise ApiError(
                403, ErrorReason.FORBIDDEN, "The administrator has no trading account: log in as one that has."
            )
        return account_id

    def require_admin(self, scope: Scope) -> None:
        """Raises ApiError (401, 403) for anybody else."""
        if self.claims(scope).role is not Role.ADMIN:
            raise ApiError(403, ErrorReason.FORBIDDEN, "Only the administrator may do this: log in as admin.")
