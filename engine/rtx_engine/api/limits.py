"""What anybody may use of a pod before it is known who they are. Pure.

The limits of one request are applied by request_parser.py and http_connection.py, those of logins by login_limits.py.
"""

from collections import Counter
from dataclasses import dataclass

from rtx_engine.api.errors import RETRY, ApiError, ErrorReason
from rtx_engine.api.strangers import Place, Strangers
from rtx_engine.backlog import Backlog

ADMIN, PEER = "admin", "peer"
Account = int | str  # an account's id, or one of the above


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes, numbers and seconds. The defaults are for production; tests set smaller ones."""

    url_bytes: int = 8 * 1024
    headers: int = 100  # with the trailers of a chunked body
    header_bytes: int = 16 * 1024  # names and values of all headers of a request, and as many of its trailers
    body_bytes: int = 16 * 1024  # the largest valid body: a new account, its password in escapes of six bytes
    discarded_bytes: int = 1024 * 1024  # of a larger body, to answer 413 and keep the connection
    pipelined: int = 32  # requests that wait on a connection for the answers to earlier ones
    request_seconds: float = 10.0  # from the first byte of a request to its last
    first_byte_seconds: float = 30.0  # for a new connection to send anything
    idle_seconds: float = 3600.0  # between two requests: a server that closes may lose one, so the client should first
    unread_seconds: float = 30.0  # for a client to read its answer
    unread_bytes: int = 64 * 1024 * 1024  # of answers that clients do not read, and requests behind them, in all
    linger_seconds: float = 2.0  # for a client that is still sending to read why it was refused
    connections: int = 8192  # HTTP and WebSockets
    connections_per_address: int = 2048  # a proxy or a node is one address for all its clients
    connections_per_account: int = 256  # that stay when others come; the account's further ones count as strangers'
    known_seconds: float = 900.0  # without a request, after which a connection is a stranger's again: a token's life
    reserved_connections: int = 64  # of `connections`, for addresses that have none, such as a probe's
    requests: int = 6000  # in handlers: more than the order queue holds (writer.Limits.max_queued)


PRODUCTION = Limits()


class Admission:
    """Counts the open connections of this pod, by client address, and decides which one gives way when there are many.

    A connection on which somebody has shown a token stays. The others are strangers': they give way to whoever comes
    from an address that has fewer of them, or from the same one if that may have no more.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.backlog = Backlog(limits.unread_bytes)
        self._by_address: Counter[str] = Counter()
        self._by_account: Counter[Account] = Counter()  # of those that stay
        self._strangers = Strangers()
        self._total = 0

    def refusal(self, address: str) -> ApiError | None:
        """Why a new connection from `address` is refused; None if it may be opened, perhaps in another one's place."""
        own = self._by_address.get(address, 0)
        if own >= self._limits.connections_per_address:
            if self._strangers.make_room(address):
                return None
            return ApiError(
                429,
                ErrorReason.TOO_MANY_CONNECTIONS,
                f"Your address has {own} connections to this server: close some, or reuse them.",
                headers=RETRY,
            )
        free = self._limits.connections - self._total
        if free <= (self._limits.reserved_connections if own else 0) and not self._crowd_makes_room(address):
            return ApiError(
                503, ErrorReason.TOO_MANY_CONNECTIONS, "This server has no connection left: try again.", headers=RETRY
            )
        return None

    def _crowd_makes_room(self, address: str) -> bool:
        crowd = self._strangers.crowd
        # By one more they would only change places, and could do so without end.
        if crowd is None or self._strangers.of(crowd) <= self._strangers.of(address) + 1:
            return False
        return self._strangers.make_room(crowd)

    def opened(self, address: str, place: Place | None = None) -> None:
        """`place`: of a stranger. A stream has none: those are bounded by account, and have seconds to show a token."""
        self._by_address[address] += 1
        self._total += 1
        if place is not None:
            self._strangers.add(address, place)

    def shown(self, address: str, place: Place, account: Account) -> bool:
        """Somebody has shown whose `place` is. Whether it stays: no account has the whole pod."""
        if self._by_account[account] >= self._limits.connections_per_account and account is not PEER:
            return False
        self._by_account[account] += 1
        self._strangers.discard(address, place)
        return True

    def forgotten(self, address: str, place: Place, account: Account) -> None:
        """`place`, which stayed for `account`, is a stranger's again."""
        self._left(account)
        self._strangers.add(address, place)

    def closed(self, address: str, place: Place | None = None, account: Account | None = None) -> None:
        """`account`: for whom it stayed."""
        self._total -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]  # so that the table stays as small as the number of connections
        if account is not None:
            self._left(account)
        elif place is not None:
            self._strangers.discard(address, place)

    def _left(self, account: Account) -> None:
        self._by_account[account] -= 1
        if not self._by_account[account]:
            del self._by_account[account]
