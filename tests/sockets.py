"""HTTP by the byte: what no client library would send."""

import json
import socket
from contextlib import suppress
from typing import Any, NamedTuple

SECONDS = 15.0
"""Longer than any limit of the server's."""


class RawAnswer(NamedTuple):
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> int:
        """The `error.code`, 0 for a success."""
        error: dict[str, Any] | None = json.loads(self.body).get("error")
        return 0 if error is None else int(error["code"])


def connect(address: str | None, source: str = "127.0.0.1") -> socket.socket:
    """Return a connection.

    Args:
        address: host and port of a server.
        source: the address to come from; all of 127.0.0.0/8 are this host's.
    """
    host, port = str(address).rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=SECONDS, source_address=(source, 0))


def answers_of(data: bytes) -> list[RawAnswer]:
    """Return the answers that came one after another.

    Args:
        data: all of it.
    """
    answers = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        status, *lines = head.decode("ascii").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", 0))
        answers.append(RawAnswer(int(status.split()[1]), headers, data[:length]))
        data = data[length:]
    return answers


def read_to_end(connection: socket.socket) -> bytes:
    """Return what comes until the other side closes or resets the connection, which this side offers when it is told.

    Args:
        connection: of an HTTP client.
    """
    data, told = bytearray(), False
    with suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            data += piece
            if not told and b"\r\nconnection: close\r\n" in data and data.endswith(b"}"):
                told = True
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
    return bytes(data)


def exchange(address: str | None, *data: bytes, source: str = "127.0.0.1") -> list[RawAnswer]:
    """Send bytes, and return the answers until the server closes the connection.

    Args:
        address: host and port of a server.
        data: what is sent, in pieces.
        source: as of `connect`.
    """
    with connect(address, source) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # it has been told enough
            for piece in data:
                connection.sendall(piece)
        return answers_of(read_to_end(connection))
