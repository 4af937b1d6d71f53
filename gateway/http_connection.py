"""One connection of an HTTP client as bytes: when it is read, when it is cut, what is still owed to it."""

import asyncio
import math
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp
from uvicorn.server import ServerState

from gateway.client_addresses import TrustedProxies, normalized
from gateway.client_certificates import names_of
from gateway.http_closing import close_or_reset, reset
from gateway.http_limits import Load

_LINGER_SECONDS = 0.5
"""A client that still sends may read its answer before the connection is closed."""
_MAX_DISCARDED = 256 * 1024
"""Bytes that are read from such a one: if it closes the connection, that is noticed."""
NEVER = math.inf


@dataclass(frozen=True, slots=True)
class Listener:
    """What the connections of one port share."""

    app: ASGIApp
    load: Load
    proxies: TrustedProxies
    state: ServerState
    """uvicorn's: connections, tasks, and the headers of every answer."""
    spared: frozenset[bytes]
    """Paths that are answered however many requests there are."""


class HttpConnection(asyncio.Protocol):
    """Counts the connection, and ends it in time.

    Args:
        listener: what it shares with others.
        counted: the address for which it was let in; None counts in the total only.
    """

    def __init__(self, listener: Listener, counted: str | None) -> None:
        self.listener = listener
        self.load = listener.load
        self.loop = asyncio.get_running_loop()
        self.is_deaf = False
        """Whether whatever comes is ignored: the connection is about to be closed."""
        self.is_stuck = False
        """Whether the client does not take what it has asked for."""
        self.is_resting = False
        """Whether it is not read for a while because a request was refused."""
        self.is_receiving = False
        """Whether a request has begun to come and is not complete."""
        self.deadline = NEVER
        """When it is the client that has taken too long, by the loop's clock."""
        self._counted = counted
        self._transport: Any = None
        self._is_paused = False
        self._discarded = 0
        self._unsent_since: float | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = transport
        self.listener.state.connections.add(self)  # type: ignore[arg-type]
        peer, server = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self.peer = normalized(peer[0]) if peer else ""
        self.client = (self.peer, peer[1]) if peer else None
        self.server = tuple(server[:2]) if server else None
        self.is_proxy = self.peer in self.listener.proxies
        ssl_object = transport.get_extra_info("ssl_object")
        self.scheme = "http" if ssl_object is None else "https"
        self.certificate_names = names_of(ssl_object)
        self.deadline = self.loop.time() + self.load.limits.receive_seconds

    def data_received(self, data: bytes) -> None:
        """Throw away what comes after the last request that is answered, up to a point."""
        self._discarded += len(data)
        if self._discarded > _MAX_DISCARDED:
            self.pause()

    def eof_received(self) -> bool:
        """See asyncio."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self.listener.state.connections.discard(self)
        self.is_deaf = True
        self.load.leave(self._counted)

    def pause_writing(self) -> None:
        """See asyncio."""
        self.is_stuck = True

    def resume_writing(self) -> None:
        """See asyncio."""
        self.is_stuck = False

    # What others call.

    def look(self, now: float) -> None:
        """Cut the connection if the client has taken too long; called a few times a second.

        Args:
            now: by the loop's clock.
        """
        if not self._transport.get_write_buffer_size():
            self._unsent_since = None
        elif self._unsent_since is None:
            self._unsent_since = now
        elif now - self._unsent_since >= self.load.limits.send_seconds:
            self.load.count("send")
            reset(self._transport)
            return
        if now < self.deadline:
            return
        if self.is_deaf:
            close_or_reset(self._transport)
        elif not self._is_paused:  # otherwise it is not the client that makes it wait
            self.expire()

    def wake(self) -> None:
        """See `gateway.http_limits.Resting`."""
        self.is_resting = False
        if not self.is_deaf:
            self.resume()

    @property
    def has_begun(self) -> bool:
        """Whether the connection was made, and lets go of its place itself."""
        return self._transport is not None

    # For the one that knows HTTP.

    def expire(self) -> None:
        """Close a connection that has been idle for so long."""
        close_or_reset(self._transport)

    @property
    def is_closing(self) -> bool:
        """Whether nothing can be sent any longer."""
        return bool(self._transport.is_closing())

    def write(self, data: bytes) -> None:
        """Send bytes; what the client does not take yet is kept.

        Args:
            data: the bytes.
        """
        if not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Close the connection when all has been sent."""
        self._transport.close()

    def close_soon(self) -> None:
        """Close the connection when the client has had time to read its answer: it may still be sending."""
        self.be_deaf()
        if self._is_paused and not self.is_resting:
            self._is_paused = False
            self._transport.resume_reading()
        self.deadline = self.loop.time() + _LINGER_SECONDS

    def be_deaf(self) -> None:
        """Take nothing any longer."""
        self.is_deaf = True
        self.deadline = NEVER

    def rest(self) -> None:
        """Read nothing for a while: a request was refused because there are too many."""
        self.is_resting = True
        self.pause()
        self.load.rest(self)

    def pause(self) -> None:
        """Read nothing until `resume`."""
        if not self._is_paused and not self._transport.is_closing():
            self._is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on, and begin to count the client's time."""
        if self.is_resting or self.is_deaf or self._transport.is_closing():
            return
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()
        elif self.is_receiving:
            return
        limits = self.load.limits
        self.deadline = self.loop.time() + (limits.receive_seconds if self.is_receiving else limits.idle_seconds)
