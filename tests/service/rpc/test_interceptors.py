"""What happens around every rpc, seen by a caller over the network and by a reader of the log."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import grpc
import pytest
from connectingparty.sale.v1 import sale_service_pb2 as pb
from connectingparty.sale.v1 import sale_service_pb2_grpc as pb_grpc
from google.protobuf.json_format import ParseDict
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status
from structlog.testing import capture_logs

from service.call_log import known_of_call
from service.errors import ErrorReason, SaleError
from service.rpc.interceptors import Bounds, Errors, InterceptedServer, RequestLog
from service.sales import CheckSale, InitiateSale, Sales
from tests.merchant import SBC, check_document

pytestmark = pytest.mark.anyio
CHECK, WATCH = (f"/connectingparty.sale.v1.SaleService/{name}" for name in ("CheckSale", "WatchSales"))


class Servicer(pb_grpc.SaleServiceServicer):
    """Checks sales with the real domain; a stream tells one change, then does what its cursor says."""

    def __init__(self, sales: Sales) -> None:
        self._sales = sales

    async def CheckSale(self, request: pb.CheckSaleRequest, context: Any) -> pb.CheckSaleResponse:  # noqa: N802
        serial_number, told = request.consumer.device.serial_number, request.session
        check = (request.invoice_id, told.access_token, serial_number, told.nonce, told.signature, told.token)
        return pb.CheckSaleResponse(invoice_id=(await self._sales.check(CheckSale(*check))).sale.invoice_id)

    async def WatchSales(self, request: pb.WatchSalesRequest, context: Any) -> None:  # type: ignore[override]  # noqa: N802
        await context.write(pb.WatchSalesResponse(cursor="first"))
        match request.cursor:
            case "fault":
                raise ValueError("the password of the database")
            case "refuse":
                raise SaleError(ErrorReason.ERROR_REASON_SERVER_UNAVAILABLE, retry_after_seconds=7)
            case "leave":
                await asyncio.Event().wait()


def add_known(logger: Any, name: str, event: Any) -> Any:
    return {**known_of_call(), **event}


class Served(NamedTuple):
    server: grpc.aio.Server
    channel: Any
    stub: Any
    lines: list[Any]

    async def log(self) -> list[Any]:
        """Return what was logged, once every call has ended at the server too."""
        await self.server.stop(5)
        return self.lines


@pytest.fixture
async def served(sales: Sales) -> AsyncIterator[Served]:
    server = grpc.aio.server()
    intercepted: Any = InterceptedServer(server, (RequestLog(), Errors(), Bounds(65536)))
    pb_grpc.add_SaleServiceServicer_to_server(Servicer(sales), intercepted)  # type: ignore[abstract]  # serves what is called
    intercepted.refuse_other_rpcs()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    with capture_logs(processors=[add_known]) as lines:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Served(server, channel, pb_grpc.SaleServiceStub(channel), lines)
        await server.stop(None)


@pytest.fixture
async def check(sales: Sales, request_: InitiateSale) -> pb.CheckSaleRequest:
    sale = await sales.initiate(request_)
    sent = check_document(request_.access_token, {"session": {"nonce": sale.nonce, "signature": sale.signature}})
    return ParseDict({"invoiceId": sale.invoice_id, **sent}, pb.CheckSaleRequest())


async def refused(answer: Any) -> tuple[grpc.aio.AioRpcError, Any]:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await answer
    status: Any = rpc_status.from_call(refusal.value)  # type: ignore[arg-type]
    return refusal.value, ErrorInfo.FromString(status.details[0].value)


async def test_a_success_tells_the_invoice_that_the_domain_bound(served: Served, check: pb.CheckSaleRequest) -> None:
    told = dict(await served.stub.CheckSale(check, timeout=5).trailing_metadata())
    assert told == {"invoice-id": check.invoice_id, "endpoint-id": SBC.endpoint_id, "provider": SBC.name}


async def test_a_call_is_a_line_without_a_secret(check: pb.CheckSaleRequest, served: Served) -> None:
    secrets = ["n" * 64, *(value for _, value in check.session.ListFields()), check.consumer.device.serial_number]
    await served.stub.CheckSale(check, timeout=5)
    check.session.nonce = secrets[0]
    error, info = await refused(served.stub.CheckSale(check, timeout=5))
    await refused(served.stub.CheckSale(pb.CheckSaleRequest(), timeout=5))
    lines = await served.log()

    assert len({line.pop("request_id") for line in lines if line.pop("duration_ms") > 0}) == 3
    line = {"event": "request", "log_level": "info", "rpc": CHECK}
    sale = {**line, "invoice_id": check.invoice_id, "endpoint_id": SBC.endpoint_id, "provider": SBC.name}
    mismatch, invalid = {"status": "PERMISSION_DENIED", "code": 1102}, {"status": "INVALID_ARGUMENT", "code": 1001}
    assert lines == [{**sale, "status": "OK"}, {**sale, **mismatch}, {**line, **invalid}]
    assert dict(error.trailing_metadata())["invoice-id"] == info.metadata["invoice_id"] == check.invoice_id
    assert not [secret for secret in secrets if secret in repr(lines)]


@pytest.mark.parametrize(
    ("sent", "logged"), [("an-id", "an-id"), ("an id", "[0-9a-f]{32}"), ("i" * 200, "i" * 128), ("", "[0-9a-f]{32}")]
)
async def test_a_request_id_is_taken_or_made(served: Served, sent: str, logged: str) -> None:
    await refused(served.stub.CheckSale(pb.CheckSaleRequest(), timeout=5, metadata=(("x-request-id", sent),)))
    assert [bool(re.fullmatch(logged, line["request_id"])) for line in await served.log()] == [True]


async def test_garbage_is_a_malformed_request(served: Served) -> None:
    for rpc, data in ((CHECK, b"\xff"), (CHECK, b"\x0a\x05id"), (WATCH, b"\xff"), (WATCH, b"\x0a\x01\xff")):
        _, info = await refused(served.channel.unary_stream(rpc)(data, timeout=5).read())
        assert info.reason == "ERROR_REASON_MALFORMED_REQUEST"
    assert [(line["status"], line["code"]) for line in await served.log()] == [("INVALID_ARGUMENT", 1000)] * 4


async def test_an_unknown_rpc_is_a_path_not_found(served: Served) -> None:
    for rpc in (CHECK + "s", "/no.such.Service/CheckSale"):
        _, info = await refused(served.channel.unary_unary(rpc)(b"", timeout=5))
        assert info.reason == "ERROR_REASON_PATH_NOT_FOUND"
    assert [(line["status"], line["code"]) for line in await served.log()] == [("UNIMPLEMENTED", 1004)] * 2


@pytest.mark.parametrize(("cursor", "status"), [("end", "OK"), ("refuse", "UNAVAILABLE"), ("leave", "CANCELLED")])
async def test_a_stream_is_a_line_when_it_has_ended(served: Served, cursor: str, status: str) -> None:
    call = served.stub.WatchSales(pb.WatchSalesRequest(cursor=cursor), timeout=5)
    assert (await call.read()).cursor == "first"
    if cursor == "refuse":
        assert (await refused(call.read()))[1].reason == "ERROR_REASON_SERVER_UNAVAILABLE"
    elif cursor == "leave":
        call.cancel()
    assert [(line["rpc"], line["status"]) for line in await served.log()] == [(WATCH, status)]


async def test_a_fault_in_a_stream_is_an_incident_without_its_text(served: Served) -> None:
    call = served.stub.WatchSales(pb.WatchSalesRequest(cursor="fault"), timeout=5)
    await call.read()
    error, info = await refused(call.read())
    incident, line = await served.log()

    assert (error.code().name, info.reason, line["status"]) == ("INTERNAL", "ERROR_REASON_SERVER_FAILED", "INTERNAL")
    assert error.details() == f"The server failed; incident {incident['incident']}."
    assert incident["request_id"] == line["request_id"]
    assert not re.search("password|ValueError", f"{error!r}{[*error.trailing_metadata()]}")
