"""The server's timeouts, in seconds. The defaults are for production; tests set shorter ones."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """All are upper bounds except `quiet_seconds`, which is always waited for."""

    forward_seconds: float = 5.0  # for a forwarded request, all attempts included

    # At start. Clients that connect meanwhile wait; the probes of the kubelet have 2 s.
    first_answer_seconds: float = 1.5  # for the database to say which tokens count

    # At shutdown. Their sum and the preStop sleep must stay below the pod's grace period of 60 s.
    websocket_close_seconds: float = 5.0  # over which the WebSockets are closed
    quiet_seconds: float = 2.0  # without a request, before the listener closes
    max_drain_seconds: float = 20.0  # the listener closes then, even if requests still arrive
    unfinished_request_seconds: int = 5  # for requests in flight when the listener closes


PRODUCTION = Timeouts()
