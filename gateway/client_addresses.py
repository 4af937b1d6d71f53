"""Whose request it is that came through proxies."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network

_SITE_PREFIX = 64
_MAX_HOPS = 16
"""The last ones of a request; what is before them was written by whoever likes."""


def normalized(host: str) -> str:
    """Return an address as it is written once and for all: no IPv4 address in an IPv6 one, and no zone.

    Args:
        host: as a socket tells it.
    """
    try:
        return str(_parse(host))
    except ValueError:
        return host


def site_of(address: str) -> str:
    """Return what connections are counted by: an address, of IPv6 its /64 network, in which one client has all of them.

    Args:
        address: a normalized one.
    """
    try:
        parsed = _parse(address)
    except ValueError:
        return address
    return address if isinstance(parsed, IPv4Address) else str(IPv6Network((parsed, _SITE_PREFIX), strict=False))


class TrustedProxies:
    """Tells whom a request comes from when its connection is a proxy's.

    Args:
        networks: where the proxies are.
    """

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks

    def __contains__(self, address: str) -> bool:
        try:
            return self._has(_parse(address))
        except ValueError:
            return False

    def client_of(self, peer: str, forwarded_for: Sequence[bytes]) -> str:
        """Return the last address that no trusted proxy has.

        Args:
            peer: the address of the proxy at the other end.
            forwarded_for: values of X-Forwarded-For; each proxy has appended whom it was asked by.

        Returns:
            That address; the first one if proxies have all; the peer's where something is written that is none.
        """
        hops = b",".join(forwarded_for).split(b",")[-_MAX_HOPS:]
        client = peer
        for hop in reversed(hops):
            try:
                address = _parse(_without_port(hop.strip().decode("ascii")))
            except ValueError:
                return peer
            client = str(address)
            if not self._has(address):
                break
        return client

    def _has(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._networks)


def _parse(text: str) -> IPv4Address | IPv6Address:
    address = ip_address(text.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def _without_port(text: str) -> str:
    # Some proxies write one: 192.0.2.1:1234 and [2001:db8::1]:1234.
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or not (port == "" or (port[0] == ":" and port[1:].isdigit())):
            raise ValueError(text)
        return host
    host, colon, port = text.partition(":")
    return host if colon and port.isdigit() else text
