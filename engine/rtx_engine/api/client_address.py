"""Whose request it is, as far as limits by address go. Pure."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

from rtx_engine.api.http import Scope, header
from rtx_engine.config import Network

UNKNOWN = "unknown"
IPV6_CLIENT_BITS = 64  # whoever has an IPv6 address has 2^64 of them


@lru_cache(maxsize=4096)
def limited_as(host: str) -> str:
    """What limits by address count `host` as: IPv4 in its own words, IPv6 by its network; UNKNOWN if it is neither."""
    address = _parsed(host)
    if address is None:
        return UNKNOWN
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, IPV6_CLIENT_BITS), strict=False))
    return str(address)


def client_address(scope: Scope, proxies: Sequence[Network], *, from_peer: bool) -> str:
    """The client's address, as `limited_as` has it.

    `proxies`: networks whose x-forwarded-for is believed; so is that of a peer, which appends the address it saw.
    What stands further left was written by the client and is not believed.
    """
    given = (header(scope, b"x-forwarded-for") or b"").decode("latin-1")
    client = scope.get("client")
    return forwarded_address(given, None if from_peer else (client[0] if client else ""), proxies)


def forwarded_address(given: str, peer: str | None, proxies: Sequence[Network]) -> str:
    """The same, of the header x-forwarded-for and the address of the other end; None: a pod, which appended it."""
    hops = [text.strip() for text in given.split(",")]
    if peer is not None:
        hops.append(peer)
    while len(hops) > 1 and _is_proxy(hops[-1], proxies):
        hops.pop()
    return limited_as(hops[-1])


def _is_proxy(host: str, proxies: Sequence[Network]) -> bool:
    address = _parsed(host)
    return address is not None and any(address in network for network in proxies)


def _parsed(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    # The listener serves both families: an IPv4 client has an IPv6 address that embeds its own.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
