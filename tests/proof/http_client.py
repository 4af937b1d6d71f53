"""HTTP/1.1 by hand: what a client library would mend or refuse is sent and received as it is."""

import asyncio
import time
from types import TracebackType

_IDLE_SECONDS = 2.0
"""After which a connection is not used again: a server may close it just when the next request is on its way."""


class Connection:
    """A connection that is kept open, and made anew when the server has closed it.

    Args:
        address: host and port.
    """

    def __init__(self, address: str) -> None:
        self._host, _, self._port = address.rpartition(":")

    async def __aenter__(self) -> "Connection":
        await self._connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    async def _connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(self._host, int(self._port))
        self._used = time.monotonic()

    async def post(self, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send a body that is said to be JSON.

        Returns:
            Status, headers with names in lower case, and body of the answer.
        """
        head = (
            f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        return await self.receive()

    async def receive(self) -> tuple[int, dict[str, str], bytes]:
        """Return the next answer."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status, *lines = head[:-4].split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await self._reader.readexactly(int(headers["content-length"]))
        self._used = time.monotonic()
        if headers.get("connection") == "close":
            self._writer.close()
            await self._connect()
        return int(status.split(" ")[1]), headers, body
