"""Who may listen: tokens are checked when a stream begins, and for as long as it lasts."""

import asyncio
from typing import Literal, Protocol

import msgspec
from picows import WSCloseCode

from rtx_engine import metrics
from rtx_engine.api.errors import RETRY, ApiError, ErrorReason, unauthorized
from rtx_engine.domain.access import Claims
from rtx_engine.store.errors import UnavailableError
from rtx_engine.stream import messages
from rtx_engine.stream.connection import Connection, StreamCloseCode
from rtx_engine.stream.handshake import Request
from rtx_engine.stream.hub import Hub
from rtx_engine.stream.limits import StreamLimits

SWEEP_INTERVAL_SECONDS = 1.0
CHECKS_PER_YIELD = 500  # about 1 ms, during which orders wait for the event loop

_HOW_TO_BEGIN = 'send {"type": "authenticate", "token": "…"} as the first message, or the Authorization header'


class TokenCheck(Protocol):
    """The part of api.tokens.Tokens used here. Raises ValueError with a message for the client, UnavailableError."""

    def trader(self, token: str) -> Claims:
        """The claims of a trader's token."""
        ...

    def check(self, claims: Claims) -> None:
        """Whether a token with these claims still counts."""
        ...


class _Authenticate(msgspec.Struct, frozen=True):
    """The one message that clients send: at the beginning, and with each later token."""

    type: Literal["authenticate"]
    token: str


_decode = msgspec.json.Decoder(_Authenticate).decode


class Access:
    """Admits clients to the hub, and ends their streams with their tokens."""

    def __init__(self, tokens: TokenCheck, hub: Hub, limits: StreamLimits) -> None:
        self._tokens = tokens
        self._hub = hub
        self._limits = limits

    def accept(self, request: Request, address: str) -> Connection:
        """The connection of an upgrade request from `address`. Raises ApiError (401, 429, 503)."""
        if self._hub.connections_from(address) >= self._limits.sockets_per_address:
            raise _too_many(f"Your address has {self._limits.sockets_per_address} streams at this server: close some.")
        claims = None
        if request.token is not None:
            try:
                claims = self._tokens.trader(request.token)
            except ValueError as error:
                raise unauthorized(str(error)) from error
            except UnavailableError as error:
                raise ApiError(503, ErrorReason.UNAVAILABLE, str(error), headers=RETRY) from error
            if self._is_full(claims):
                raise _too_many(self._too_many_of_account())
        return Connection(request, address, claims, self)

    def connected(self, connection: Connection) -> None:
        self._hub.open(connection)
        if connection.claims is not None:
            self._hub.register(connection)

    def disconnected(self, connection: Connection) -> None:
        self._hub.close(connection)

    def unread(self, connection: Connection, size: int) -> None:
        self._hub.backlog.note(connection, size)

    def received(self, connection: Connection, text: bytes) -> None:
        """A message of the client: the token that it begins with, or another one to go on with."""
        try:
            token = _decode(text).token
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if connection.claims is None:
                connection.close(StreamCloseCode.TOKEN_ENDED, _HOW_TO_BEGIN)
            return
        try:
            claims = self._tokens.trader(token)
        except ValueError as error:
            connection.close(StreamCloseCode.TOKEN_ENDED, str(error))
        except UnavailableError as error:
            connection.close(WSCloseCode.TRY_AGAIN_LATER, str(error))
        else:
            self._go_on(connection, claims)

    async def sweep(self) -> None:
        """After SWEEP_INTERVAL_SECONDS, end the streams whose tokens do not count any more. The caller repeats it."""
        await asyncio.sleep(SWEEP_INTERVAL_SECONDS)
        late = asyncio.get_running_loop().time() - self._limits.token_seconds
        for number, connection in enumerate(self._hub.connections, start=1):
            if connection.claims is not None:
                try:
                    self._tokens.check(connection.claims)
                except ValueError as error:
                    connection.close(StreamCloseCode.TOKEN_ENDED, str(error))
            elif connection.opened_at < late:
                connection.close(StreamCloseCode.TOKEN_ENDED, _HOW_TO_BEGIN)
            if number % CHECKS_PER_YIELD == 0:
                await asyncio.sleep(0)

    def _go_on(self, connection: Connection, claims: Claims) -> None:
        if connection.claims is None:
            if self._is_full(claims):
                metrics.refusals(ErrorReason.TOO_MANY_CONNECTIONS).inc()
                connection.close(StreamCloseCode.TOO_MANY, self._too_many_of_account())
                return
            connection.begin(claims)
            self._hub.register(connection)
        elif claims.account_id == connection.account_id:
            connection.claims = claims
            connection.send(messages.authenticated(claims.expires_at))
        else:
            connection.close(StreamCloseCode.TOKEN_ENDED, "The token is another account's: open a stream for that.")

    def _is_full(self, claims: Claims) -> bool:
        account_id = claims.account_id
        return account_id is not None and self._hub.streams_of(account_id) >= self._limits.sockets_per_account

    def _too_many_of_account(self) -> str:
        return f"Your account has {self._limits.sockets_per_account} streams at this server: close some."


def _too_many(message: str) -> ApiError:
    metrics.refusals(ErrorReason.TOO_MANY_CONNECTIONS).inc()
    return ApiError(429, ErrorReason.TOO_MANY_CONNECTIONS, message, headers=RETRY)
