"""What anybody may use of a pod before it is known who they are. Pure.

The limits of one request are applied by http_protocol.py, those of logins by login_limits.py.
"""

from collections import Counter
from dataclasses import dataclass

from rtx_engine.api.errors import RETRY, ApiError, ErrorReason


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
    unread_seconds: float = 30.0  # for a client to read its answer
    linger_seconds: float = 2.0  # for a client that is still sending to read why it was refused
    connections: int = 8192  # HTTP and WebSockets
    connections_per_address: int = 2048  # a proxy or a node is one address for all its clients
    reserved_connections: int = 64  # of `connections`, for addresses that have none, such as a probe's
    requests: int = 6000  # in handlers: more than the order queue holds (writer.Limits.max_queued)


PRODUCTION = Limits()


class Admission:
    """Counts the open connections of this pod, by client address."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_address: Counter[str] = Counter()
        self._total = 0

    def refusal(self, address: str) -> ApiError | None:
        """Why a new connection from `address` is refused; None if it may be opened."""
        own = self._by_address.get(address, 0)
        if own >= self._limits.connections_per_address:
            return ApiError(
                429,
                ErrorReason.TOO_MANY_CONNECTIONS,
                f"Your address has {own} connections to this server: close some, or reuse them.",
                headers=RETRY,
            )
        free = self._limits.connections - self._total
        if free <= (self._limits.reserved_connections if own else 0):
            return ApiError(
                503, ErrorReason.TOO_MANY_CONNECTIONS, "This server has no connection left: try again.", headers=RETRY
            )
        return None

    def opened(self, address: str) -> None:
        self._by_address[address] += 1
        self._total += 1

    def closed(self, address: str) -> None:
        self._total -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]  # so that the table stays as small as the number of connections
