"""Whose request it is, as far as limits by address go. Pure.

A proxy adds the address that it saw to what it was sent: at the end of the last line of x-forwarded-for (nginx, Envoy),
or in a line of its own behind the others (HAProxy); some write the port, too (Azure). So all lines are one list, which
is believed from its end on, as far as trusted proxies wrote it.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from rtx_engine.api.http import Scope
from rtx_engine.config import Network

FORWARDED_FOR = b"x-forwarded-for"
UNKNOWN = "unknown"
IPV6_CLIENT_BITS = 64  # whoever has an IPv6 address has 2^64 of them
MAX_HOST_CHARACTERS = 64  # an IPv6 address with brackets and a port has 53; what is longer is not remembered

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 client, as an IPv6 cluster sees it
_WITH_PORT = re.compile(r"\[([^\]]*)\](?::[0-9]*)?|([0-9.]+):[0-9]*")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def limited_as(host: str) -> str:
    """What limits by address count `host` as: IPv4 in its own words, IPv6 by its network; UNKNOWN if it is neither."""
    address = _parsed(host)
    if address is None:
        return UNKNOWN
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(address), IPV6_CLIENT_BITS), strict=False))
    return str(address)


def client_address(scope: Scope, proxies: Sequence[Network], *, from_peer: bool) -> str:
    """The client's address, as `limited_as` has it.

    `proxies`: networks whose x-forwarded-for is believed; so is that of a peer, which appends the address it saw.
    What stands further left was written by the client and is not believed.
    """
    client = scope.get("client")
    return forwarded_address(forwarded_for(scope), None if from_peer else (client[0] if client else ""), proxies)


def forwarded_for(scope: Scope) -> list[str]:
    """The lines of x-forwarded-for, in their order."""
    return [bytes(value).decode("latin-1") for name, value in scope["headers"] if name == FORWARDED_FOR]


def forwarded_address(given: Iterable[str], peer: str | None, proxies: Sequence[Network]) -> str:
    """The same, of the lines of x-forwarded-for and the address of the other end; None: a pod, which appended it.

    A proxy that does not say for whom it asks, or says it in no address, counts as the client.
    """
    hops = [hop for line in given for hop in (text.strip() for text in line.split(",")) if hop]
    if peer is not None:
        hops.append(peer)
    client = UNKNOWN
    for hop in reversed(hops):
        address = _parsed(hop)
        if address is None:
            break
        client = limited_as(hop)
        if not any(address in network for network in proxies):
            break
    return client


def _parsed(host: str) -> Address | None:
    """The address in `host`, with or without brackets and port."""
    return _parsed_short(host) if len(host) <= MAX_HOST_CHARACTERS else None


@lru_cache(maxsize=4096)
def _parsed_short(host: str) -> Address | None:
    if found := _WITH_PORT.fullmatch(host):
        host = found[1] or found[2]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return address
    # The listener serves both families: an IPv4 client has an IPv6 address that embeds its own.
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address
