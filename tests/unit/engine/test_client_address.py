"""Whose request it is, as far as limits by address go."""

import ipaddress

import pytest
from rtx_engine.api.client_address import client_address, limited_as

PROXIES = [ipaddress.ip_network("10.0.0.0/8")]


def asked(client: str, *forwarded: str, from_peer: bool = False) -> str:
    """`forwarded`: the lines of the header."""
    headers = [(b"x-forwarded-for", line.encode("latin-1")) for line in forwarded]
    return client_address({"client": (client, 1), "headers": headers}, PROXIES, from_peer=from_peer)


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2:0:0:0:1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("64:ff9b::192.0.2.1", "192.0.2.1"),  # through NAT64, which has one network for all IPv4 clients
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


@pytest.mark.parametrize(
    "lines",
    [
        ["203.0.113.9", "198.51.100.7"],  # HAProxy's `option forwardfor` adds a line
        ["203.0.113.9, 203.0.113.10", "198.51.100.7", "10.9.9.9"],
        ["198.51.100.7", ""],
        ["198.51.100.7,, 10.9.9.9,"],
    ],
)
def test_all_lines_are_one_list_that_is_believed_from_its_end(lines):
    assert asked("10.1.2.3", *lines) == "198.51.100.7"
    assert asked("172.16.0.5", *lines, from_peer=True) == "198.51.100.7"


@pytest.mark.parametrize(
    ("written", "counted"),
    [
        ("198.51.100.7:44321", "198.51.100.7"),  # Azure's Application Gateway
        ("[2001:db8:1:2::1]:44321", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::1]", "2001:db8:1:2::/64"),
        ("[::ffff:198.51.100.7]:44321", "198.51.100.7"),
    ],
)
def test_port_that_a_proxy_writes_belongs_to_no_address(written, counted):
    assert asked("10.1.2.3", written) == counted
    assert asked("10.1.2.3", f"203.0.113.9, {written}, 10.9.9.9:80, [::ffff:10.9.9.9]:80") == counted


@pytest.mark.parametrize(
    "written", ["", "\x00, <script>", "198.51.100.7, unknown", "1" * 9_000, "[]:80", "198.51.100.7:x"]
)
def test_proxy_that_names_no_client_counts_as_the_client(written):
    assert asked("10.1.2.3", written) == "10.1.2.3"
    assert asked("10.1.2.3", f"{written}, 10.9.9.9") == "10.9.9.9"


def test_peer_that_names_no_client_is_not_known():
    assert asked("172.16.0.5", from_peer=True) == "unknown"
