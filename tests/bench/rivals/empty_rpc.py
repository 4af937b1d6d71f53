"""The least that a gRPC server in Python does: our two methods, of our messages, that do nothing and answer nothing.

Run by the benchmark: `python -m tests.bench.rivals.empty_rpc`.
"""

import signal
from typing import Any

import grpc
import structlog
import uvloop
from connectingparty.sale.v1.sale_service_pb2 import (
    CheckSaleRequest,
    CheckSaleResponse,
    InitiateSaleRequest,
    InitiateSaleResponse,
)
from connectingparty.sale.v1.sale_service_pb2_grpc import SaleServiceServicer, add_SaleServiceServicer_to_server

from gateway.program.logs import configure_logs

Context = grpc.aio.ServicerContext[Any, Any]

_log = structlog.stdlib.get_logger(__name__)


class EmptyServicer(SaleServiceServicer):
    """Answers with messages in which nothing is set."""

    async def InitiateSale(self, request: InitiateSaleRequest, context: Context) -> InitiateSaleResponse:  # noqa: N802
        return InitiateSaleResponse()

    async def CheckSale(self, request: CheckSaleRequest, context: Context) -> CheckSaleResponse:  # noqa: N802
        return CheckSaleResponse()


async def serve() -> None:
    """Serve until SIGTERM."""
    server = grpc.aio.server()
    target: Any = server  # to the stubs an asynchronous server is another class
    add_SaleServiceServicer_to_server(EmptyServicer(), target)  # type: ignore[abstract]  # nobody calls its other methods
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    _log.info("serving", grpc=f"127.0.0.1:{port}")
    await server.wait_for_termination()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    configure_logs()
    uvloop.run(serve())
