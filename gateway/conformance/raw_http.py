"""HTTP/1.1 by the byte: what no client library sends."""

import asyncio
import io
import time
from collections.abc import Sequence
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from gateway.conformance.exchanges import Exchange, Request
from gateway.conformance.wire import Wire

_MOST_BYTES = 4 << 20
"""More than answers have: a server that never ends one is read no further."""


def head_of(request: Request, *more: str) -> bytes:
    """Return the request line and headers of a request, as they are sent.

    Args:
        request: what is sent.
        more: header lines; Content-Length or Transfer-Encoding has to be among them where it has a body.
    """
    url = urlsplit(request.url)
    target = url.path + (f"?{url.query}" if url.query else "")
    lines = [f"{request.method} {target} HTTP/1.1", f"Host: {url.netloc}"]
    lines += [f"{name}: {value}" for name, value in request.headers]
    return "\r\n".join([*lines, *more, "", ""]).encode()


def bytes_of(request: Request, *more: str) -> bytes:
    """Return a whole request, as it is sent."""
    body = request.body or b""
    return head_of(request, f"Content-Length: {len(body)}", *more) + body


async def send_pieces(
    wire: Wire, request: Request, pieces: Sequence[bytes], *, pause_seconds: float = 0.0, read: bool = True
) -> list[Exchange]:
    """Send bytes over a connection of their own, and return the answers until the server closes it.

    Args:
        wire: to the server.
        request: what the bytes are of; the last of several.
        pieces: the bytes.
        pause_seconds: how long to wait between two pieces.
        read: False to close the connection without a look at the answer.

    Returns:
        One exchange at least: without a status where no answer came.
    """
    began = time.monotonic()
    try:
        async with asyncio.timeout(wire.timeout_seconds):
            data = await _converse(wire, request.url, pieces, pause_seconds, read)
    except TimeoutError:
        return [wire.noted(Exchange(request, failure=f"no answer within {wire.timeout_seconds:g} s"))]
    except OSError as error:
        return [Exchange(request, failure=f"no answer: {error}")]
    return _exchanges(request, data, time.monotonic() - began) or [
        Exchange(request, failure="the connection was closed without an answer")
    ]


async def _converse(wire: Wire, url: str, pieces: Sequence[bytes], pause_seconds: float, read: bool) -> bytes:
    parts = urlsplit(url)
    tls = wire.tls if parts.scheme == "https" else None
    port = parts.port or (80 if tls is None else 443)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=tls)
    try:
        with suppress(ConnectionError):  # it may have been told enough
            for number, piece in enumerate(pieces):
                await asyncio.sleep(pause_seconds if number else 0)
                writer.write(piece)
                await writer.drain()
        return await _read_to_end(reader) if read else b""
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _read_to_end(reader: asyncio.StreamReader) -> bytes:
    data = bytearray()
    with suppress(ConnectionError):
        while len(data) < _MOST_BYTES and (piece := await reader.read(65536)):
            data += piece
    return bytes(data)


class _Received(io.BytesIO):
    """What was received, in the place of the socket that a response is read from."""

    def makefile(self, *_: Any) -> "_Received":
        return self

    def close(self) -> None:
        """Stay open: each response closes what it was read from."""


def _exchanges(request: Request, data: bytes, seconds: float) -> list[Exchange]:
    received = _Received(data)
    exchanges: list[Exchange] = []
    while received.tell() < len(data):
        response: Any = HTTPResponse(received, method=request.method)  # type: ignore[arg-type]  # all it does is makefile
        try:
            response.begin()
            body = response.read()
        except (HTTPException, ValueError):
            failure = f"what is no HTTP: {data[:80]!r}"
            return [*exchanges, Exchange(request, failure=failure)]
        headers = {name.lower(): value for name, value in response.getheaders()}
        exchanges.append(Exchange(request, response.status, headers, body, seconds))
    return exchanges
