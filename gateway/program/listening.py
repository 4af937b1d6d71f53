"""The addresses that a program listens on."""

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from ipaddress import ip_address
from itertools import combinations
from typing import Any

from gateway.program.settings import ConfigurationError, ListenerSettings
from gateway.program.values import Address


def require_sound_listeners(listeners: Mapping[str, ListenerSettings]) -> None:
    """Make sure that each port is protected, and that no two are one.

    Args:
        listeners: by the names of their tables.

    Raises:
        ConfigurationError: they are not.
    """
    for name, listener in listeners.items():
        listener.require_protected(name)
    for (name, listener), (other_name, other) in combinations(listeners.items(), 2):
        if _overlap(listener.listen, other.listen):
            raise ConfigurationError(
                f"{other_name}.listen: {other.listen} is taken by {name}.listen, {listener.listen}"
            )


def bind(address: Address, setting: str, *, reuse_port: bool = False) -> socket.socket:
    """Bind a TCP socket; it does not listen yet.

    Args:
        address: where; port 0 lets the system choose.
        setting: name of the setting, for the error.
        reuse_port: whether other sockets may be bound to the port after it.

    Raises:
        ConfigurationError: it can't be bound.
    """
    try:
        family, kind, protocol, where = _resolved(address)
        with ExitStack() as until_bound:
            bound = until_bound.enter_context(socket.socket(family, kind, protocol))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse_port:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            bound.bind(where)
            until_bound.pop_all()
    except OSError as error:
        raise not_listening(setting, address, error) from None
    return bound


def bound_address(bound: socket.socket) -> Address:
    """Return where a socket is bound."""
    return Address(*bound.getsockname()[:2])


def not_listening(setting: str, address: Address, error: OSError) -> ConfigurationError:
    """Return how it is told that an address can't be listened on.

    Args:
        setting: its name.
        address: where.
        error: what the system says.
    """
    return ConfigurationError(f"{setting}: can't listen on {address}: {error.strerror}")


def _resolved(address: Address) -> tuple[int, int, int, tuple[Any, ...]]:
    family, kind, protocol, _, where = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
    return family, kind, protocol, where


def _overlap(one: Address, other: Address) -> bool:
    if one.port != other.port or one.port == 0:
        return False
    try:
        hosts = [ip_address(_resolved(address)[3][0]) for address in (one, other)]
    except (OSError, ValueError):
        return False  # to bind it tells what is wrong
    # The unspecified address of IPv6 takes what comes by IPv4 too.
    everywhere = {ip_address("::"), ip_address("0.0.0.0" if all(host.version == 4 for host in hosts) else "::")}  # noqa: S104
    return hosts[0] == hosts[1] or not everywhere.isdisjoint(hosts)
