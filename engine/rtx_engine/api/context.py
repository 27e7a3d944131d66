"""The objects that routes use, and the activity that the server watches at shutdown."""

import time
from dataclasses import dataclass, field

from rtx_engine.api.client_address import client_address
from rtx_engine.api.errors import ApiError, ErrorReason, unauthorized
from rtx_engine.api.http import CONNECTION, Scope, header
from rtx_engine.api.limits import ADMIN, PEER, Account
from rtx_engine.api.logins import Logins
from rtx_engine.api.passwords import Passwords
from rtx_engine.api.peer import Peers
from rtx_engine.api.peer_client import PeerClient
from rtx_engine.api.refresh_tokens import RefreshTokens
from rtx_engine.api.request_stats import RequestStats
from rtx_engine.api.tokens import BadTokenError, Tokens
from rtx_engine.config import Settings
from rtx_engine.domain.access import Claims, Role
from rtx_engine.feed.source import PriceSource
from rtx_engine.store import Store
from rtx_engine.stream import Stream
from rtx_engine.tasks import Supervisor
from rtx_engine.timeouts import Timeouts


@dataclass(slots=True)
class Activity:
    """Requests in flight, and whether the pod is shutting down. Probes do not count: they continue to the end."""

    ending: bool = False
    forwarded: int = 0  # requests forwarded to the other colour since the start
    in_flight: int = 0
    last_request_at: float = field(default_factory=time.monotonic)

    def begin(self) -> None:
        self.in_flight += 1

    def end(self) -> None:
        self.in_flight -= 1
        self.last_request_at = time.monotonic()

    def quiet_seconds(self) -> float:
        """Seconds since the last request ended; 0 while one is in flight."""
        return 0.0 if self.in_flight else time.monotonic() - self.last_request_at


@dataclass(frozen=True, slots=True)
class Context:
    """The dependencies of the routes."""

    settings: Settings
    timeouts: Timeouts
    version: str
    store: Store
    source: PriceSource
    tokens: Tokens
    refresh_tokens: RefreshTokens
    passwords: Passwords
    logins: Logins
    activity: Activity
    stream: Stream
    peers: Peers
    peer_client: PeerClient | None  # None: forwarding is off
    request_stats: RequestStats
    supervisor: Supervisor

    def client_address(self, scope: Scope) -> str:
        """The client's address, as limits count it."""
        return client_address(scope, self.settings.trusted_proxies, from_peer=self.peers.is_hop(scope))

    def claims(self, scope: Scope) -> Claims:
        """The claims of the bearer token. Raises ApiError (401)."""
        value = header(scope, b"authorization")
        if value is None:
            raise unauthorized("The Authorization header is missing: send 'Bearer' and a token from POST /api/login.")
        scheme, _, token = value.decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise unauthorized("The Authorization header is not a bearer token: send 'Bearer' and a token.")
        try:
            claims = self.tokens.verify(token.strip())
        except BadTokenError as error:
            raise unauthorized(str(error)) from error
        connection = scope.get(CONNECTION)
        if connection is not None:
            connection.shown(self._account(scope, claims))
        return claims

    def _account(self, scope: Scope, claims: Claims) -> Account:
        """Whose connection it is: a peer's carries the requests of many accounts."""
        if self.peers.is_hop(scope):
            return PEER
        return ADMIN if claims.account_id is None else claims.account_id

    def account_id(self, scope: Scope) -> int:
        """The account of the bearer token. Raises ApiError (401, 403)."""
        account_id = self.claims(scope).account_id
        if account_id is None:
            raise ApiError(403, ErrorReason.FORBIDDEN, "The administrator has no trading account: log in as a trader.")
        return account_id

    def require_admin(self, scope: Scope) -> None:
        """Raises ApiError (401, 403) unless the token is the administrator's."""
        if self.claims(scope).role is not Role.ADMIN:
            raise ApiError(403, ErrorReason.FORBIDDEN, "Only the administrator may do this: log in as admin.")
