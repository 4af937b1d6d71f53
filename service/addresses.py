"""IP addresses, as they are compared and counted."""

from ipaddress import IPv4Address, IPv6Address, ip_address

_SITE_BITS = 64
"""Of IPv6, everybody has a network of this prefix length: to count each of its addresses apart would count nothing."""


def parse_address(text: str | None) -> IPv4Address | IPv6Address | None:
    """Return an address, of IPv4 also where it is written as IPv6 (`::ffff:192.0.2.1`); None if it is none."""
    try:
        address = ip_address(text or "")
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or address
    return address


def site_of(text: str | None) -> str | None:
    """Return what stands for everybody who can have an address: of IPv6 its network; None if it is none."""
    address = parse_address(text)
    if isinstance(address, IPv6Address):
        return str(IPv6Address(int(address) >> _SITE_BITS << _SITE_BITS))
    return None if address is None else str(address)
