"""An HTTP port: uvicorn's life of a server, our own connections."""

import asyncio
import math
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from gateway.client_addresses import TrustedProxies
from gateway.health import Alive, Ready
from gateway.http_acceptor import HttpAcceptor
from gateway.http_connection import Listener
from gateway.http_limits import Load

_LOOK_SECONDS = 0.25
"""How often it is looked whether a client takes too long."""
_BACKLOG = 2048


class _Uvicorn(uvicorn.Server):
    acceptor: HttpAcceptor

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.servers = []
        for bound in sockets or ():
            self.acceptor.start(bound, _BACKLOG)
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.acceptor.stop()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # the program has handlers of its own, and other things to stop


class HttpServer:
    """Serves an application on a socket.

    Args:
        app: the application.
        listener: bound, not yet listening.
        load: of the process.
        proxies: whose word counts on where a request comes from.
        tls_context: returns with what to make the handshake of a connection; None serves without TLS.
        grace_seconds: how long requests may run on when it is stopped.
    """

    def __init__(
        self,
        app: ASGIApp,
        listener: socket.socket,
        load: Load,
        *,
        proxies: TrustedProxies,
        tls_context: Callable[[], ssl.SSLContext] | None,
        grace_seconds: float,
    ) -> None:
        spared = frozenset({Alive.path.encode(), Ready.path.encode()})

        config = uvicorn.Config(
            app,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=math.ceil(grace_seconds),
        )
        self._server = _Uvicorn(config)
        shared = Listener(app, load, proxies, self._server.server_state, spared)
        self._server.acceptor = HttpAcceptor(shared, tls_context)
        self._listener = listener
        self._load = load
        self._serving: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen; return once connections are accepted."""
        # Inherited by connections: the system itself gives up on a client that takes nothing.
        milliseconds = int(self._load.limits.send_seconds * 1000)
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        self._serving = asyncio.create_task(self._server.serve([self._listener]))
        while not self._server.started:
            if self._serving.done():
                await self._serving  # raises what kept it from starting
            await asyncio.sleep(0.001)
        self._looking = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """Accept no more connections, answer the requests that run, and close."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving
        if self._looking is not None:
            self._looking.cancel()

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = loop.time()
            for connection in tuple(self._server.server_state.connections):
                connection.look(now)  # type: ignore[union-attr]
