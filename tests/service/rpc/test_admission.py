"""Which calls over the network are taken on: none that its caller lets hang keeps others out."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from connectingparty.sale.v1.sale_service_pb2 import ListSalesRequest, ListSalesResponse
from connectingparty.sale.v1.sale_service_pb2_grpc import SaleServiceServicer, SaleServiceStub
from connectingparty.sale.v1.sale_service_pb2_grpc import add_SaleServiceServicer_to_server as add_servicer

from service.rpc.admission import Reception, on_demand
from service.rpc.interceptors import Errors, InterceptedServer
from tests.http2 import Http2Connection

pytestmark = pytest.mark.anyio
LIST = "/connectingparty.sale.v1.SaleService/ListSales"
PATIENCE = timedelta(milliseconds=200)


class Servicer(SaleServiceServicer):
    """Answers at once."""

    async def ListSales(self, request: ListSalesRequest, context: Any) -> ListSalesResponse:  # noqa: N802
        return ListSalesResponse(next_page_token=request.page_token)


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """A server that takes on one call at a time."""
    server = grpc.aio.server(maximum_concurrent_rpcs=1)
    intercepted: Any = InterceptedServer(server, (Errors(), Reception(PATIENCE)), on_demand)
    add_servicer(Servicer(), intercepted)  # type: ignore[abstract]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)


async def code_of_next_call(address: str) -> grpc.StatusCode:
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = SaleServiceStub(channel)
        call = stub.ListSales(ListSalesRequest(page_token="next"), timeout=5)
        return grpc.StatusCode(await call.code())


async def test_a_call_whose_message_does_not_come_gives_its_place_up(address: str) -> None:
    with Http2Connection(address) as connection:
        connection.begin(LIST)
        await asyncio.sleep(0.1)

        assert await code_of_next_call(address) is grpc.StatusCode.RESOURCE_EXHAUSTED
        await asyncio.sleep(1)
        assert await code_of_next_call(address) is grpc.StatusCode.OK


async def test_a_call_that_is_given_up_before_its_message_has_come_is_of_no_matter(address: str) -> None:
    with Http2Connection(address) as connection:
        stream_id = connection.begin(LIST)
        await asyncio.sleep(0.1)
        connection.h2.reset_stream(stream_id)
        connection.flush()
        await asyncio.sleep(0.1)

        assert await code_of_next_call(address) is grpc.StatusCode.OK
