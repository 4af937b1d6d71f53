"""The TLS handshake of a connection, within limits, before HTTP begins."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from gateway.client_addresses import normalized
from gateway.http_connection import Listener
from gateway.http_protocol import HttpProtocol


class TlsEntrance(asyncio.Protocol):
    """Lets a connection in, makes the handshake with it, and hands it over to `HttpProtocol`.

    The connection is counted from its first moment on: what it costs to say hello should not be had for nothing.

    Args:
        listener: what it shares with others.
        context: returns the certificate of the day, and what else TLS needs.
    """

    def __init__(self, listener: Listener, context: Callable[[], ssl.SSLContext]) -> None:
        self._listener = listener
        self._context = context
        self._load = listener.load
        self._early = bytearray()
        self._is_lost = False
        self._transport: asyncio.Transport = None  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio."""
        self._transport = transport
        peer = transport.get_extra_info("peername")
        address = normalized(peer[0]) if peer else ""
        counted = None if address in self._listener.proxies else address
        if not self._load.admit(counted):
            transport.abort()
            return
        self._listener.state.connections.add(self)  # type: ignore[arg-type]
        tasks = self._listener.state.tasks
        task = asyncio.get_running_loop().create_task(self._shake_hands(counted))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def data_received(self, data: bytes) -> None:
        """Keep what comes with the last message of the handshake."""
        self._early += data

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._is_lost = True

    def shutdown(self) -> None:
        """Give up; uvicorn calls this."""
        self._transport.abort()

    def look(self, now: float) -> None:
        """Nothing: the handshake has a time limit of its own."""

    async def _shake_hands(self, counted: str | None) -> None:
        loop = asyncio.get_running_loop()
        secured: Any = None
        try:
            secured = await loop.start_tls(
                self._transport,
                self,
                self._context(),
                server_side=True,
                ssl_handshake_timeout=self._load.limits.handshake_seconds,
                ssl_shutdown_timeout=self._load.limits.handshake_seconds,
            )
        except (OSError, asyncio.CancelledError) as error:  # ssl's errors are OSErrors too
            self._load.count("handshake")
            self._transport.abort()
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            self._listener.state.connections.discard(self)
            if secured is None or self._is_lost:
                self._load.leave(counted)
        if secured is not None and not self._is_lost:
            http = HttpProtocol(self._listener, (counted,))
            secured.set_protocol(http)
            http.connection_made(secured)
            if self._early:
                http.data_received(bytes(self._early))
