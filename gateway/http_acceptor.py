"""Takes the connections of a port: lets them in, and shakes hands where it is by TLS, within limits."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from gateway.client_addresses import normalized, site_of
from gateway.http_answers import OVERLOADED_AND_CLOSED
from gateway.http_connection import Listener
from gateway.http_protocol import HttpProtocol

_AT_ONCE = 64
"""How many connections are accepted before others get their turn. uvloop takes one in a turn of the loop: the longer
the turns get under load, the longer would a newcomer wait, even to be refused."""
_UNREAD = 64 * 1024
_PAUSE_SECONDS = 0.1
"""After the system had no room for another one."""


class HttpAcceptor:
    """Accepts connections; by TLS, each with the certificate of the moment.

    A connection is counted from its first moment on: what it costs to say hello should not be had for nothing.

    Args:
        listener: what its connections share.
        context: returns with what to make a handshake now; None is without TLS.
    """

    def __init__(self, listener: Listener, context: Callable[[], ssl.SSLContext] | None) -> None:
        self._listener = listener
        self._context = context
        self._load = listener.load
        self._loop = asyncio.get_running_loop()
        self._bound: socket.socket | None = None
        self._beginning: set[asyncio.Task[None]] = set()

    def start(self, bound: socket.socket, backlog: int) -> None:
        """Listen.

        Args:
            bound: the socket.
            backlog: how many connections may wait to be accepted.
        """
        bound.setblocking(False)
        bound.listen(backlog)
        self._bound = bound
        self._resume()

    def stop(self) -> None:
        """Accept no more connections, and give up those that have not said hello."""
        if self._bound is not None:
            self._loop.remove_reader(self._bound)
            self._bound = None
        for beginning in self._beginning:
            beginning.cancel()

    def _resume(self) -> None:
        if self._bound is not None:
            self._loop.add_reader(self._bound, self._accept, self._bound)

    def _accept(self, bound: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, peer = bound.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                self._load.count("descriptors")
                self._loop.remove_reader(bound)
                self._loop.call_later(_PAUSE_SECONDS, self._resume)
                return
            address = normalized(peer[0])
            counted = None if address in self._listener.proxies else site_of(address)
            connection.setblocking(False)
            if not self._load.admit(counted):
                self._refuse(connection)
                continue
            beginning = self._loop.create_task(self._begin(connection, counted))
            self._beginning.add(beginning)
            beginning.add_done_callback(self._beginning.discard)

    def _refuse(self, connection: socket.socket) -> None:
        if self._context is None:
            with suppress(OSError):
                connection.recv(_UNREAD)  # what is unread when it is closed would take the answer with it
            with suppress(OSError):
                connection.send(OVERLOADED_AND_CLOSED)
        connection.close()

    async def _begin(self, connection: socket.socket, counted: str | None) -> None:
        http = HttpProtocol(self._listener, counted)
        seconds = None if self._context is None else self._load.limits.handshake_seconds
        try:
            await self._loop.connect_accepted_socket(
                lambda: http,
                connection,
                ssl=None if self._context is None else self._context(),
                ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=seconds,
            )
        except OSError:  # ssl's errors are such too
            self._load.count("handshake")
        finally:
            if not http.has_begun:
                self._load.leave(counted)
                connection.close()
