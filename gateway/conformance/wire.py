"""The HTTP client of the kit: it sends what it is told to, and whatever happens comes back as an exchange."""

import asyncio
import ssl
import time
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import httpx2

from gateway.conformance.exchanges import Exchange, Request
from gateway.parties.receiving import Received, receive

_MAX_CONNECTIONS = 64
_RETRIES = 3
_MAX_RETRY_SECONDS = 2.0


class Tls(NamedTuple):
    """How a server is known, and how it knows the payment gateway."""

    ca: Path | None = None
    """Certificates of the authorities to trust; None for the system's."""
    insecure: bool = False
    """Whether any certificate is taken."""
    certificate: Path | None = None
    """Certificate to show, with its key in the same file or in `key`."""
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Return what a connection is made with.

        Raises:
            OSError: a file can't be read, or is not what it should be.
        """
        context = ssl.create_default_context(cafile=self.ca)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key)
        return context


class Wire:
    """Sends requests.

    Args:
        tls: the context of connections by https.
        timeout_seconds: how long an answer may take.
    """

    def __init__(self, tls: ssl.SSLContext, timeout_seconds: float) -> None:
        self.tls = tls
        self.timeout_seconds = timeout_seconds
        self.slowest: Exchange | None = None
        """The one that took longest."""
        limits = httpx2.Limits(
            max_connections=_MAX_CONNECTIONS, max_keepalive_connections=_MAX_CONNECTIONS, keepalive_expiry=1.0
        )
        # Proxies of the environment would be what is verified.
        self._client = httpx2.AsyncClient(verify=tls, timeout=timeout_seconds, limits=limits, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def send(self, request: Request) -> Exchange:
        """Send a request, again where the answer asks for that, as a client does."""
        for _ in range(_RETRIES):
            exchange = await self._send_once(request)
            wait = _retry_after(exchange)
            if wait is None:
                break
            await asyncio.sleep(wait)
        return exchange

    async def _send_once(self, request: Request) -> Exchange:
        began = time.monotonic()
        try:
            async with asyncio.timeout(self.timeout_seconds):
                received = await self._answer(request)
        except (httpx2.TimeoutException, TimeoutError):
            failure = f"no answer within {self.timeout_seconds:g} s"
        except (httpx2.RequestError, httpx2.InvalidURL) as error:
            failure = f"no answer: {error or type(error).__name__}"
        else:
            headers = {name.lower(): value for name, value in received.headers.items()}
            return self.noted(Exchange(request, received.status, headers, received.body, _since(began)))
        return self.noted(Exchange(request, seconds=_since(began), failure=failure))

    async def _answer(self, request: Request) -> Received:
        # A connection that was kept can have been closed meanwhile: then the request did not reach the server.
        headers = list(request.headers)
        try:
            return await receive(self._client, request.method, request.url, headers=headers, content=request.body)
        except (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError):
            return await receive(self._client, request.method, request.url, headers=headers, content=request.body)

    def noted(self, exchange: Exchange) -> Exchange:
        """Return an exchange after a look at how long it took."""
        if self.slowest is None or exchange.seconds > self.slowest.seconds:
            self.slowest = exchange
        return exchange


def _since(began: float) -> float:
    return time.monotonic() - began


def _retry_after(exchange: Exchange) -> float | None:
    """Return for how many seconds to wait before the request is sent again; None if it is not to be."""
    if exchange.status not in {429, 503}:
        return None
    after = exchange.headers.get("retry-after", "")
    return min(float(after), _MAX_RETRY_SECONDS) if after.isdecimal() else None
