"""Whose request it is, as far as limits by address go."""

import ipaddress

import pytest
from rtx_engine.api.client_address import client_address, limited_as

PROXIES = [ipaddress.ip_network("10.0.0.0/8")]


def asked(client: str, forwarded: str = "", *, from_peer: bool = False) -> str:
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    return client_address({"client": (client, 1), "headers": headers}, PROXIES, from_peer=from_peer)


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("testclient", "unknown"),
        ("", "unknown"),
    ],
)
def test_ipv6_client_counts_as_its_network(host, counted):
    assert limited_as(host) == counted


def test_address_that_a_stranger_claims_is_not_believed():
    assert asked("192.0.2.1", "198.51.100.7") == "192.0.2.1"


def test_address_that_a_trusted_proxy_saw_is_believed_and_not_what_stands_left_of_it():
    assert asked("10.1.2.3", "198.51.100.7") == "198.51.100.7"
    assert asked("10.1.2.3", "203.0.113.9, 198.51.100.7, 10.9.9.9") == "198.51.100.7"


def test_address_that_a_peer_saw_is_believed():
    assert asked("172.16.0.5", "203.0.113.9, 198.51.100.7", from_peer=True) == "198.51.100.7"


def test_nonsense_from_a_proxy_counts_as_one_address():
    assert asked("10.1.2.3", "\x00, <script>") == "unknown"
