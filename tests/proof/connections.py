"""HTTP/1.1 over sockets at a few microseconds a request: for proofs that ask very often.

A connection carries one request at a time, prepared as bytes. What the contract says of answers is for other tests.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length:"


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: bytes

    @property
    def code(self) -> int:
        """The `error.code`, 0 for a success."""
        return 0 if self.status == 200 else int(json.loads(self.body)["error"]["code"])


class Gone(Exception):
    """The connection ended before there was an answer."""


class Connection(asyncio.Protocol):
    """A connection to a server; `Connection.to` opens one."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._answer: asyncio.Future[Answer] | None = None
        self._lost = False
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def to(cls, address: str) -> "Connection":
        """Open a connection to a host and port.

        Raises:
            OSError: nobody listens there.
        """
        host, _, port = address.rpartition(":")
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, int(port))
        return connection

    async def ask(self, request: bytes) -> Answer:
        """Send a request and return its answer.

        Raises:
            Gone: there was none.
        """
        if self._lost or self._transport is None:
            raise Gone
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(_END_OF_HEAD)
        if end < 0:
            return
        head = bytes(self._received[:end]).lower()
        start = head.index(_LENGTH) + len(_LENGTH)
        body = end + len(_END_OF_HEAD)
        length = int(head[start:].split(b"\r", 1)[0])
        if len(self._received) < body + length or self._answer is None:
            return
        answer = Answer(int(head[9:12]), bytes(self._received[body : body + length]))
        del self._received[: body + length]
        if not self._answer.done():
            self._answer.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Gone())


def post(path: str, document: Mapping[str, Any], **headers: str) -> bytes:
    """Return a request with a JSON body; underscores in the names of headers stand for hyphens."""
    content = json.dumps(document).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: test", "Content-Type: application/json", f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + _END_OF_HEAD + content


def get(path: str) -> bytes:
    """Return a request without a body."""
    return f"GET {path} HTTP/1.1\r\nHost: test".encode() + _END_OF_HEAD
