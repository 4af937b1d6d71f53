"""The gateway alone, in front of a service somewhere else."""

import socket
from collections.abc import Callable

import grpc

from gateway.app import create_app
from gateway.http_server import HttpServer
from gateway.multiplexing import MultiplexedChannel
from gateway.program.logs import configure_logs
from gateway.program.process import run_server
from gateway.program.settings import GatewaySettings, ProgramSettings

_CHANNEL_OPTIONS = (
    # A service that comes back is found within a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A connection that died without a word is noticed.
    ("grpc.keepalive_time_ms", 300_000),
    # Every gateway in a process has connections of its own.
    ("grpc.use_local_subchannel_pool", 1),
)


class GatewayServer:
    """A `gateway.program.process.Server`.

    Args:
        settings: of the program.
        listener: bound to the gateway's port.
    """

    def __init__(self, settings: GatewaySettings, listener: socket.socket) -> None:
        channel = grpc.aio.insecure_channel(str(settings.http.service), options=_CHANNEL_OPTIONS)
        self._channel = MultiplexedChannel(channel)
        self._http = create_http_server(settings, self._channel, listener)

    async def start(self) -> None:
        """Listen. The service need not be there yet."""
        await self._http.start()

    async def stop(self) -> None:
        """Answer what runs, then let go of the service."""
        await self._http.stop()
        await self._channel.close()

    def reload(self) -> None:
        """Nothing: no setting of the gateway can be changed while it runs."""


def create_http_server(settings: ProgramSettings, channel: grpc.aio.Channel, listener: socket.socket) -> HttpServer:
    """Return the HTTP server of a gateway in front of a channel."""
    app = create_app(
        channel,
        deadline_seconds=settings.http.deadline.total_seconds(),
        max_body_bytes=settings.http.max_body,
    )
    return HttpServer(app, listener, grace_seconds=settings.shutdown_grace.total_seconds())


def serve(settings: GatewaySettings, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Run a gateway in this process until it is told to stop."""
    configure_logs()

    async def create() -> GatewayServer:
        return GatewayServer(settings, listener)

    run_server(create, lambda server: on_ready())
