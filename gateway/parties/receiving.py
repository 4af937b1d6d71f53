"""Taking answers of servers that nobody vouches for, and showing them."""

from typing import Any, NamedTuple

import httpx2

_MOST_BYTES = 4 << 20
"""An answer of the contract has a few hundred; a page of a bank may have many more."""


class Received(NamedTuple):
    """An answer."""

    status: int
    headers: httpx2.Headers
    body: bytes
    url: httpx2.URL
    """From where it came: another one where a redirect was followed."""


class TooLong(httpx2.RequestError):
    """An answer does not end."""


async def receive(client: httpx2.AsyncClient, method: str, url: str, **more: Any) -> Received:
    """Send a request and take the answer, unless that is of a length that no answer has.

    Args:
        client: sends it.
        method: of it.
        url: of it.
        more: as of `httpx2.AsyncClient.stream`.

    Raises:
        httpx2.RequestError: there is none; `TooLong`: there is no end of it.
    """
    async with client.stream(method, url, **more) as response:
        body = bytearray()
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > _MOST_BYTES:
                raise TooLong(f"the answer is longer than {_MOST_BYTES >> 20} MiB")
        return Received(response.status_code, response.headers, bytes(body), response.url)


def printable(text: str) -> str:
    """Return a text with all that would do something to a terminal, or that has no form there, as escapes."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
