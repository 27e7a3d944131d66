"""How long the server waits, in seconds. The defaults are production's; tests of what happens afterwards wait less."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Times:
    """All of them are upper bounds but `quiet`, which is waited for in full."""

    forward_budget: float = 5.0  # that the first pod has for a request that it sends on

    # Together these stay within the pod's grace period of 60 s, its preStop sleep included.
    websockets_close_within: float = 5.0  # over which 1012 is spread
    quiet: float = 2.0  # without a request: whoever asked has learnt to ask elsewhere
    drain_at_most: float = 20.0
    unfinished_requests: int = 5


PRODUCTION = Times()
