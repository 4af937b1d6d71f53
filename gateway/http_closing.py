"""Ends of connections whose clients may not take what is there for them."""

import asyncio
import os
import socket
import struct
from fcntl import ioctl
from termios import TIOCOUTQ

_AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER: what the other side has not taken is thrown away."""


def close_or_reset(transport: asyncio.Transport) -> None:
    """Close a connection; reset it if there are bytes that the other side has not taken.

    Args:
        transport: of the connection.
    """
    descriptor = _descriptor(transport)
    if descriptor >= 0 and int.from_bytes(ioctl(descriptor, TIOCOUTQ, bytes(4)), "little"):
        reset(transport)
    else:
        transport.close()


def reset(transport: asyncio.Transport) -> None:
    """Reset a connection: the system keeps nothing for it.

    Args:
        transport: of the connection.
    """
    descriptor = _descriptor(transport)
    if descriptor >= 0:
        with socket.socket(fileno=os.dup(descriptor)) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()


def _descriptor(transport: asyncio.Transport) -> int:
    known = transport.get_extra_info("socket")
    return -1 if known is None else int(known.fileno())
