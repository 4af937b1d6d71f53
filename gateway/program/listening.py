"""The addresses that a program listens on."""

import socket

from gateway.program.settings import ConfigurationError
from gateway.program.values import Address


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
        family, kind, protocol, _, where = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(where)
    except OSError as error:
        raise ConfigurationError(f"{setting}: can't listen on {address}: {error.strerror}") from None
    return bound


def bound_address(bound: socket.socket) -> Address:
    """Return where a socket is bound."""
    return Address(*bound.getsockname()[:2])
