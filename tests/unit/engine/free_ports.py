"""Ports for the servers that tests start, of which no two test processes ever take the same.

The kernel's own choice (port 0) cannot be kept until a server that is yet to start listens on it: any client's
connection may take it meanwhile. So these ports are below those that the kernel gives away, in blocks. The process that
listens on a block's first port owns the block; the kernel frees it when the process ends, in whatever way.
"""

import itertools
import socket
from collections.abc import Iterator
from functools import cache

FIRST, LAST, BLOCK = 15_000, 29_999, 250


def free_port() -> int:
    """A port of 127.0.0.1 and of 0.0.0.0 that nobody listens on, for this process and its children."""
    for port in _ports():
        if (listener := _listener(port)) is not None:
            listener.close()
            return port
    raise AssertionError("the ports of a block never end")


@cache
def _ports() -> Iterator[int]:
    for first in range(FIRST, LAST, BLOCK):
        claim = _listener(first)
        if claim is not None:
            return _in_turn(claim, first)
    raise RuntimeError(f"no block of ports is free from {FIRST} to {LAST}: do {LAST - FIRST} servers run here?")


def _in_turn(claim: socket.socket, first: int) -> Iterator[int]:
    """The ports of the block, the one that was freed longest ago first. `claim` is held by this iterator."""
    with claim:
        yield from itertools.cycle(range(first + 1, first + BLOCK))


def _listener(port: int) -> socket.socket | None:
    """A socket that listens on `port`; None when something else does."""
    try:
        return socket.create_server(("0.0.0.0", port))  # noqa: S104  # as the engine listens
    except OSError:
        return None
