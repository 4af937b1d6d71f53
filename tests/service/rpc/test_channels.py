"""A call in process, over the network and over a shared stream can't be told apart by what they answer."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NoReturn

import grpc
import pytest
from connectingparty.multiplex.v1.multiplex_service_pb2_grpc import add_MultiplexServiceServicer_to_server
from connectingparty.sale.v1.error_reason_pb2 import ErrorReason
from connectingparty.sale.v1.sale_service_pb2 import CheckSaleRequest, CheckSaleResponse
from connectingparty.sale.v1.sale_service_pb2_grpc import SaleServiceServicer, SaleServiceStub
from connectingparty.sale.v1.sale_service_pb2_grpc import add_SaleServiceServicer_to_server as add_servicer
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from gateway.multiplexing import MultiplexedChannel
from service.errors import SaleError
from service.program.development import DEVELOPER
from service.rpc.in_process import InProcessServer
from service.rpc.interceptors import Errors, InterceptedServer, metadata_values
from service.rpc.multiplexing import MAX_AT_ONCE, MultiplexServicer

pytestmark = pytest.mark.anyio
SECRET = "the password of the database"


class Servicer(SaleServiceServicer):
    """Does what the invoice id says."""

    def __init__(self) -> None:
        self.given_up = asyncio.Event()
        self.calls = 0

    async def CheckSale(self, request: CheckSaleRequest, context: Any) -> CheckSaleResponse:  # noqa: N802
        self.calls += 1
        match request.invoice_id:
            case "fault":
                raise ValueError(SECRET)
            case "refuse":
                raise SaleError(ErrorReason.ERROR_REASON_TOO_MANY_SALES, retry_after_seconds=7)
            case "abort":
                await context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")
            case "wait":
                await self.wait()
        (text,) = metadata_values(context, "x-text")
        assert context.time_remaining() > 0
        return CheckSaleResponse(invoice_id=f"{request.invoice_id} {text!s}")

    async def InitiateSale(self, request: Any, context: Any) -> NoReturn:  # noqa: N802
        raise NotImplementedError

    async def wait(self) -> NoReturn:
        try:
            await asyncio.Event().wait()
        finally:
            self.given_up.set()
        raise AssertionError


@pytest.fixture
async def servicer(anyio_backend: str) -> Servicer:
    return Servicer()  # type: ignore[abstract]  # serves only what is called here


@pytest.fixture(params=["network", "in process", "stream"])
async def stub(request: pytest.FixtureRequest, servicer: Servicer) -> AsyncIterator[Any]:
    if request.param == "in process":
        in_process = InProcessServer()
        add_servicer(servicer, InterceptedServer(in_process, (Errors(),)))  # type: ignore[arg-type]
        async with in_process.channel() as channel:
            yield SaleServiceStub(channel)
        return
    server, on_streams = grpc.aio.server(), InProcessServer()
    for target in (server, on_streams):
        add_servicer(servicer, InterceptedServer(target, (Errors(),)))  # type: ignore[arg-type]
    multiplex = MultiplexServicer(on_streams, lambda credentials: DEVELOPER, max_running=10)
    add_MultiplexServiceServicer_to_server(multiplex, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    network: grpc.aio.Channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
    async with MultiplexedChannel(network) if request.param == "stream" else network as channel_:
        yield SaleServiceStub(channel_)
    await server.stop(None)


async def test_of_the_calls_of_a_stream_so_many_run_at_once(servicer: Servicer) -> None:
    server, on_streams = grpc.aio.server(), InProcessServer()
    add_servicer(servicer, InterceptedServer(on_streams, (Errors(),)))  # type: ignore[arg-type]
    multiplex = MultiplexServicer(on_streams, lambda credentials: DEVELOPER, max_running=1000)
    add_MultiplexServiceServicer_to_server(multiplex, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with MultiplexedChannel(grpc.aio.insecure_channel(f"127.0.0.1:{port}")) as channel:
        stub: Any = SaleServiceStub(channel)
        calls = [asyncio.ensure_future(refused(stub, "wait", 1)) for _ in range(MAX_AT_ONCE + 50)]
        while servicer.calls < MAX_AT_ONCE:  # noqa: ASYNC110  # a servicer tells nobody
            await asyncio.sleep(0.01)
        assert servicer.calls == MAX_AT_ONCE
        errors = await asyncio.gather(*calls)
    await server.stop(None)

    assert {error.code() for error in errors} == {grpc.StatusCode.DEADLINE_EXCEEDED}


async def refused(stub: Any, invoice_id: str, seconds: float = 5) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await stub.CheckSale(CheckSaleRequest(invoice_id=invoice_id), timeout=seconds)
    return refusal.value


async def test_an_answer_and_its_metadata_arrive(stub: Any) -> None:
    call = stub.CheckSale(CheckSaleRequest(invoice_id="id"), timeout=5, metadata=(("x-text", "text"),))

    assert (await call).invoice_id == "id text"
    assert await call.code() is grpc.StatusCode.OK
    assert list(await call.trailing_metadata()) == []


async def test_a_refusal_has_its_code_its_words_and_its_details(stub: Any) -> None:
    error = await refused(stub, "refuse")
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    info = ErrorInfo()

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.details() == "Too many sales; try again later."
    assert status is not None
    assert status.details[0].Unpack(info)
    assert info.reason == "ERROR_REASON_TOO_MANY_SALES"


async def test_an_unexpected_fault_tells_nothing_of_the_inside(stub: Any) -> None:
    error = await refused(stub, "fault")

    assert error.code() is grpc.StatusCode.INTERNAL
    assert str(error.details()).startswith("The server failed; incident ")
    assert SECRET not in repr(error)
    assert "ValueError" not in repr(error)


async def test_a_deliberate_abort_passes(stub: Any) -> None:
    error = await refused(stub, "abort")

    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "no such thing")


async def test_a_deadline_ends_the_call_and_the_work(stub: Any, servicer: Servicer) -> None:
    error = await refused(stub, "wait", seconds=0.1)

    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(servicer.given_up.wait(), 5)


async def test_a_caller_that_is_gone_ends_the_work(stub: Any, servicer: Servicer) -> None:
    async def call() -> None:
        await stub.CheckSale(CheckSaleRequest(invoice_id="wait"), timeout=5)

    caller = asyncio.create_task(call())
    await asyncio.sleep(0.1)
    caller.cancel()

    await asyncio.wait_for(servicer.given_up.wait(), 5)


async def test_an_rpc_that_nobody_serves_is_unimplemented() -> None:
    in_process = InProcessServer()
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await SaleServiceStub(in_process.channel()).CheckSale(CheckSaleRequest(), timeout=5)

    assert refusal.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_call_that_is_awaited_again_is_not_made_again(stub: Any, servicer: Servicer) -> None:
    call = stub.CheckSale(CheckSaleRequest(invoice_id="id"), timeout=5, metadata=(("x-text", "text"),))

    assert await call == await call
    assert servicer.calls == 1


async def test_a_deadline_that_has_passed_makes_no_call(stub: Any, servicer: Servicer) -> None:
    error = await refused(stub, "id", seconds=-1)

    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert servicer.calls == 0
