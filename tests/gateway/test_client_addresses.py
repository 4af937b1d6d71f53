"""Whom a request comes from that came through proxies: what they have written, as far as they are trusted."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.client_addresses import TrustedProxies, normalized, site_of

PEER = "10.0.0.1"
PROXIES = TrustedProxies([ip_network("10.0.0.0/8"), ip_network("fd00::/8")])


@pytest.mark.parametrize(
    ("forwarded_for", "client"),
    [
        (["192.0.2.9"], "192.0.2.9"),
        (["6.6.6.6, 192.0.2.9"], "192.0.2.9"),
        (["6.6.6.6,192.0.2.9 ,10.9.9.9, fd00::7"], "192.0.2.9"),
        (["6.6.6.6", "192.0.2.9", "10.9.9.9"], "192.0.2.9"),
        (["nonsense, 192.0.2.9"], "192.0.2.9"),
        (["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
        (["192.0.2.9:4711"], "192.0.2.9"),
        (["[2001:db8::9]:4711"], "2001:db8::9"),
        (["2001:DB8:0::9"], "2001:db8::9"),
        (["::ffff:192.0.2.9, ::ffff:10.1.1.1"], "192.0.2.9"),
        (["192.0.2.9, nonsense"], PEER),
        (["192.0.2.9, "], PEER),
        (["192.0.2.9, 10.0.0.0x1"], PEER),
        (["192.0.2.9, [10.1.1.1"], PEER),
        (["192.0.2.9, caf\xe9"], PEER),
        ([""], PEER),
        (["192.0.2.9" + ", 10.1.1.1" * 16], "10.1.1.1"),
        (["6.6.6.6, " * 20 + "192.0.2.9, 10.1.1.1"], "192.0.2.9"),
    ],
)
def test_it_is_the_last_address_that_no_trusted_proxy_has(forwarded_for: list[str], client: str) -> None:
    assert PROXIES.client_of(PEER, [value.encode("latin-1") for value in forwarded_for]) == client


@pytest.mark.parametrize(
    ("address", "site"),
    [
        ("192.0.2.9", "192.0.2.9"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("/run/x", "/run/x"),
    ],
)
def test_of_ipv6_a_whole_network_is_one_client(address: str, site: str) -> None:
    assert site_of(address) == site


@given(st.lists(st.binary(max_size=100), max_size=5))
def test_whatever_is_written_there_is_an_address_in_the_end(forwarded_for: list[bytes]) -> None:
    client = PROXIES.client_of(PEER, forwarded_for)

    assert normalized(client) == client
    assert all(part.isalnum() for part in client.replace(":", ".").split(".") if part)


@pytest.mark.parametrize(
    ("address", "trusted"),
    [("10.1.1.1", True), ("::ffff:10.1.1.1", True), ("fd00::1", True), ("11.0.0.1", False), ("", False), ("x", False)],
)
def test_a_proxy_is_known_by_its_address_however_that_is_written(address: str, trusted: bool) -> None:
    assert (address in PROXIES) is trusted


@pytest.mark.parametrize(
    ("told", "normal"),
    [
        ("::ffff:192.0.2.9", "192.0.2.9"),
        ("fe80::1%eth0", "fe80::1"),
        ("2001:DB8::0", "2001:db8::"),
        ("/run/x", "/run/x"),
    ],
)
def test_an_address_is_written_in_one_way(told: str, normal: str) -> None:
    assert normalized(told) == normal
