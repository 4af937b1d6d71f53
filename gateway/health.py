"""Whether the gateway is alive, and whether it can serve."""

import asyncio
import time
from collections.abc import Callable

import grpc
from connectingparty.sale.v1.error_reason_pb2 import ErrorReason
from connectingparty.sale.v1.sale_service_pb2 import CheckSaleRequest
from connectingparty.sale.v1.sale_service_pb2_grpc import SaleServiceStub
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from starlette.types import Receive, Scope, Send

from gateway.errors import RETRY_AFTER_SECONDS, GatewayError, from_rpc_error, refuses_gateway
from gateway.http_messages import send_json

_ADMITTED_SECONDS = 10.0
"""How long it is believed that the service lets this gateway in, which costs a call to find out."""


class Alive:
    """`GET /healthz`: this process answers."""

    path = "/healthz"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope["state"]["record"].route = self.path
        await send_json(scope, send, 200, b'{"status":"alive"}')


class Ready:
    """`GET /readyz`: the service can be reached, lets this gateway in, and reaches its store.

    Args:
        channel: to the service.
        deadline_seconds: how long it may take to answer.
        is_overloaded: tells whether others should get the requests for now.
    """

    path = "/readyz"

    def __init__(
        self, channel: grpc.aio.Channel, *, deadline_seconds: float, is_overloaded: Callable[[], bool]
    ) -> None:
        self._is_overloaded = is_overloaded
        self._deadline_seconds = deadline_seconds
        self._admitted_until = 0.0
        self._sales = SaleServiceStub(channel)
        self._check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            GatewayError: `ERROR_REASON_SERVER_UNAVAILABLE`.
        """
        scope["state"]["record"].route = self.path
        if self._is_overloaded():
            raise _unavailable("There are too many requests now.")
        try:
            response = await self._check(HealthCheckRequest(), timeout=self._deadline_seconds)
        except grpc.aio.AioRpcError as error:
            raise _unavailable("The service can't be reached now.") from error
        if response.status != HealthCheckResponse.SERVING:
            raise _unavailable("The service can't serve now.")
        if time.monotonic() >= self._admitted_until:
            # In a context of its own: what a service in this process notes of the call is not about this request.
            await asyncio.create_task(self._require_admission())
        await send_json(scope, send, 200, b'{"status":"ready"}')

    async def _require_admission(self) -> None:
        # Whoever may call is told that this is no request; health checks are answered to everybody. Only such a
        # question is empty, a request has an invoice id at least: the service does not count it as a refusal.
        try:
            await self._sales.CheckSale(CheckSaleRequest(), timeout=self._deadline_seconds)
        except grpc.aio.AioRpcError as error:
            if refuses_gateway(error):
                raise from_rpc_error(error) from error
            if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
                self._admitted_until = time.monotonic() + _ADMITTED_SECONDS


def _unavailable(message: str) -> GatewayError:
    return GatewayError(ErrorReason.ERROR_REASON_SERVER_UNAVAILABLE, message, retry_after_seconds=RETRY_AFTER_SECONDS)
