"""The sandbox as a server on a loopback port."""

import asyncio
import socket

from gateway.client_addresses import TrustedProxies
from gateway.http_limits import Limits, Load
from gateway.http_server import HttpServer
from gateway.parties.exchanges import Peer
from gateway.parties.payment_gateway import PaymentGateway
from gateway.sandbox.app import create_sandbox
from gateway.sandbox.callbacks import Schedule
from gateway.sandbox.processing import ControlKeys, Processing

_LIMITS = Limits(
    head=16384,
    headers=64,
    url=8192,
    body=65536,
    connections=1024,
    connections_per_address=1024,
    handshake_seconds=5.0,
    receive_seconds=8.0,
    idle_seconds=60.0,
    send_seconds=5.0,
    in_flight=512,
)


class SandboxServer:
    """A `gateway.program.process.Server`: it has nothing to read again, and fails at nothing.

    Args:
        listener: bound, not yet listening.
        target: base URL of the Connecting Party's server.
        control_keys: of the endpoints that it has.
        schedule: how long what takes.
        timeout_seconds: how long it waits for an answer of that server.
    """

    def __init__(
        self,
        listener: socket.socket,
        target: str,
        control_keys: ControlKeys,
        schedule: Schedule,
        *,
        timeout_seconds: float,
    ) -> None:
        self._peer = Peer(target, timeout_seconds=timeout_seconds, connections=64)
        self._processing = Processing(PaymentGateway(self._peer), control_keys, schedule)
        self._http = HttpServer(
            create_sandbox(self._processing),
            listener,
            Load(_LIMITS),
            proxies=TrustedProxies(()),
            tls_context=None,
            grace_seconds=1.0,
        )

    async def start(self) -> None:
        """Listen."""
        await self._http.start()

    async def wait_until_failed(self) -> None:
        """Never return."""
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """Forget all sales, whatever they wait for."""
        await self._http.stop()
        await self._processing.stop()
        await self._peer.close()

    def reload(self) -> None:
        """Do nothing."""
