"""What the streams of a pod may use. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Numbers, bytes and seconds. The defaults are for production; tests set smaller ones."""

    sockets_per_account: int = 32
    sockets_per_address: int = 2048  # a proxy that is not trusted is one address for all its clients
    unread_bytes: int = 64 * 1024 * 1024  # of all clients together; connection.py bounds those of each
    token_seconds: float = 5.0  # for a client without the Authorization header to send its token
    replayed_events: int = 5_000  # that a client may be behind when it connects; more are read at GET /api/events


PRODUCTION = StreamLimits()
