"""The domain as a gRPC server: on a port, and for callers in the same process."""

from collections.abc import Sequence
from typing import Any

import grpc
from connectingparty.sale.v1 import access_token_service_pb2, sale_service_pb2
from connectingparty.sale.v1.access_token_service_pb2_grpc import add_AccessTokenServiceServicer_to_server
from connectingparty.sale.v1.sale_service_pb2_grpc import add_SaleServiceServicer_to_server
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from grpc_reflection.v1alpha import reflection

from service.access_tokens import AccessTokens
from service.rpc.health import StoreHealth
from service.rpc.in_process import InProcessServer
from service.rpc.interceptors import Bounds, Errors, RequestLog
from service.rpc.servicers import AccessTokenServicer, SaleServicer
from service.sales import Sales
from service.store import Store

MAX_MESSAGE_BYTES = 64 * 1024
MAX_CONCURRENT_STREAMS = 1000
"""Per connection."""
MAX_CONCURRENT_RPCS = 4096
"""Per process; more are refused at once."""

_SERVICES = (
    sale_service_pb2.DESCRIPTOR.services_by_name["SaleService"].full_name,
    access_token_service_pb2.DESCRIPTOR.services_by_name["AccessTokenService"].full_name,
)


class SaleServer:
    """The rpcs of this project and the standard health service.

    Args:
        sales: the domain's sales.
        access_tokens: the domain's access tokens.
        store: its store, whose health is the server's.
        reflection: whether callers may ask what rpcs there are.
        reuse_port: whether several processes listen on one port.
    """

    def __init__(
        self, sales: Sales, access_tokens: AccessTokens, store: Store, *, reflection: bool, reuse_port: bool
    ) -> None:
        self._health = StoreHealth(store, _SERVICES)
        self._server = grpc.aio.server(
            interceptors=(RequestLog(), Errors(), Bounds()),
            maximum_concurrent_rpcs=MAX_CONCURRENT_RPCS,
            options=(
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_concurrent_streams", MAX_CONCURRENT_STREAMS),
                ("grpc.so_reuseport", int(reuse_port)),
            ),
        )
        self._in_process = InProcessServer((Errors(), Bounds()))
        for server in (self._server, self._in_process):
            self._register(server, SaleServicer(sales), AccessTokenServicer(access_tokens))
        if reflection:
            _enable_reflection((*_SERVICES, "grpc.health.v1.Health"), self._server)

    def _register(self, server: Any, sales: SaleServicer, access_tokens: AccessTokenServicer) -> None:
        add_SaleServiceServicer_to_server(sales, server)
        add_AccessTokenServiceServicer_to_server(access_tokens, server)
        add_HealthServicer_to_server(self._health.servicer, server)

    async def start(self, address: str) -> int:
        """Listen.

        Args:
            address: host and port, as in `127.0.0.1:50051`; port 0 lets the system choose.

        Returns:
            The port.

        Raises:
            OSError: the address can't be listened on.
        """
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(f"can't listen on {address}") from error
        await self._server.start()
        await self._health.start()
        return port

    def channel(self) -> grpc.aio.Channel:
        """Return a channel for callers in this process."""
        return self._in_process.channel()

    async def say_not_serving(self) -> None:
        """Let health checks know that the end is near."""
        await self._health.stop()

    async def stop(self, grace_seconds: float) -> None:
        """Accept no more calls, and give those that run so long to end."""
        await self._server.stop(grace_seconds)


def _enable_reflection(services: Sequence[str], server: grpc.aio.Server) -> None:
    reflection.enable_server_reflection((*services, reflection.SERVICE_NAME), server)
