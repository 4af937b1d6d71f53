"""uvicorn, started and stopped by us, and answering what is no HTTP in the contract's words too."""

import asyncio
import math
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from connectingparty.sale.v1.error_reason_pb2 import ErrorReason
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway.errors import GatewayError
from gateway.request_log import log_malformed


class _JsonHttpProtocol(HttpToolsProtocol):
    def send_400_response(self, msg: str) -> None:
        error = GatewayError(ErrorReason.ERROR_REASON_MALFORMED_REQUEST, "The request is not HTTP/1.1.")
        body = error.body()
        self.transport.write(
            STATUS_LINE[error.http_status]
            + b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            + body
        )
        self.transport.close()
        log_malformed()


class _Uvicorn(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # the program has handlers of its own, and other things to stop


class HttpServer:
    """Serves an application on a socket.

    Args:
        app: the application.
        listener: bound, not yet listening.
        grace_seconds: how long requests may run on when it is stopped.
    """

    def __init__(self, app: ASGIApp, listener: socket.socket, *, grace_seconds: float) -> None:
        config = uvicorn.Config(
            app,
            http=_JsonHttpProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            reset_contextvars=True,  # a request that follows another on its connection must not inherit what is known
            timeout_graceful_shutdown=math.ceil(grace_seconds),
        )
        self._server = _Uvicorn(config)
        self._listener = listener
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen; return once connections are accepted."""
        self._serving = asyncio.create_task(self._server.serve([self._listener]))
        while not self._server.started:
            if self._serving.done():
                await self._serving  # raises what kept it from starting
            await asyncio.sleep(0.001)

    async def stop(self) -> None:
        """Accept no more connections, answer the requests that run, and close."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving
