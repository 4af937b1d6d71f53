"""The limits of the gRPC port: what is beyond one is refused, and everybody else is served."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import apsw
import grpc
import h2.events
import h2.settings
import pytest
from connectingparty.multiplex.v1.multiplex_service_pb2 import Call, MultiplexRequest
from connectingparty.multiplex.v1.multiplex_service_pb2_grpc import MultiplexServiceStub
from connectingparty.sale.v1.access_token_service_pb2 import IssueAccessTokenRequest
from connectingparty.sale.v1.access_token_service_pb2_grpc import AccessTokenServiceStub
from connectingparty.sale.v1.sale_service_pb2 import GetSaleRequest, ListSalesRequest
from connectingparty.sale.v1.sale_service_pb2_grpc import SaleServiceStub
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_status import rpc_status

from service.rpc.admission import MAX_HEALTH_WATCHES
from tests.conftest import Deployment, deploy
from tests.contract.test_operation import wait_until
from tests.http2 import Http2Connection, grpc_status
from tests.merchant import new_token
from tests.running import CHANNEL_OPTIONS, open_channel

ISSUE = "/connectingparty.sale.v1.AccessTokenService/IssueAccessToken"
LIST = "/connectingparty.sale.v1.SaleService/ListSales"
MAX_CALLS = 8
LIMITS = f"""
[grpc.limits]
max_message = 32768
max_metadata = 8192
max_streams = 16
max_calls = {MAX_CALLS}
max_connections = 10
handshake = "500ms"
receive = "500ms"
idle = "1s"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("limited")


@pytest.fixture(scope="module")
def limited(folder: Path) -> Iterator[Deployment]:
    with ExitStack() as stack:
        yield deploy(stack, "one process", folder, LIMITS)


@pytest.fixture
def address(limited: Deployment) -> str:
    return str(limited.service.grpc)


@pytest.fixture
def sales(address: str) -> Iterator[Any]:
    with open_channel(address) as channel:
        yield SaleServiceStub(channel)


def reason(error: grpc.RpcError) -> str | None:
    """Return the reason of ours that an error has, if it has one."""
    status, info = rpc_status.from_call(error), ErrorInfo()  # type: ignore[arg-type]
    any(detail.Unpack(info) for detail in status.details) if status else None
    return info.reason or None


def refusal(call: Any, *arguments: Any, **named: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as refused:
        call(*arguments, timeout=5, **named)
    return refused.value


def code_of(get_sale: Any) -> grpc.StatusCode:
    return grpc.StatusCode(refusal(get_sale, GetSaleRequest(invoice_id="1")).code())


def test_a_message_that_is_too_large_is_refused_by_name(sales: Any) -> None:
    token = "x" * 32768

    error: Any = refusal(sales.ListSales, ListSalesRequest(page_token=token))

    assert (error.code(), reason(error)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "ERROR_REASON_BODY_TOO_LARGE")


def test_one_that_is_twice_too_large_is_not_even_read(sales: Any) -> None:
    error: Any = refusal(sales.ListSales, ListSalesRequest(page_token="x" * 65536))

    assert (error.code(), reason(error)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, None)
    assert sales.ListSales(ListSalesRequest(), timeout=5) is not None


def test_metadata_that_is_too_large_is_refused(sales: Any) -> None:
    error: Any = refusal(sales.ListSales, ListSalesRequest(), metadata=[("x-more", "x" * 8192)])

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert sales.ListSales(ListSalesRequest(), timeout=5, metadata=[("x-more", "x" * 4096)]) is not None


def test_a_client_is_told_how_many_calls_of_a_connection_may_run(address: str) -> None:
    with Http2Connection(address) as connection:
        connection.wait_for(h2.events.RemoteSettingsChanged)

        assert connection.h2.remote_settings.max_concurrent_streams == 16


def test_a_call_whose_message_does_not_come_is_ended(address: str) -> None:
    with Http2Connection(address) as connection:
        connection.begin(LIST)

        answer = connection.wait_for(h2.events.ResponseReceived, 3)

    assert grpc_status(answer) == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]


def test_who_is_nobody_is_refused_before_its_message_has_come(address: str) -> None:
    with Http2Connection(address) as connection:
        connection.begin(LIST, ())

        answer = connection.wait_for(h2.events.ResponseReceived, 0.4)

    assert grpc_status(answer) == grpc.StatusCode.UNAUTHENTICATED.value[0]


def test_a_connection_that_does_not_begin_is_closed(address: str) -> None:
    host, _, port = address.rpartition(":")
    with Http2Connection(address) as proper, socket.create_connection((host, int(port))) as silent:
        silent.settimeout(5)
        began = time.monotonic()
        while silent.recv(4096):
            pass

        assert time.monotonic() - began < 3
        assert not any(isinstance(event, h2.events.ConnectionTerminated) for event in proper.receive(0.05))


def test_a_connection_without_a_call_is_closed(address: str) -> None:
    with Http2Connection(address) as connection:
        connection.wait_for(h2.events.ConnectionTerminated, 4)


def test_pings_that_come_too_often_end_the_connection(address: str) -> None:
    with Http2Connection(address) as connection:
        for _ in range(10):
            connection.h2.ping(b"01234567")
        connection.flush()

        connection.wait_for(h2.events.ConnectionTerminated, 1)


def test_more_connections_than_a_process_may_have_are_refused(limited: Deployment, address: str, sales: Any) -> None:
    sales.ListSales(ListSalesRequest(), timeout=5)

    with ExitStack() as stack:
        connections = [stack.enter_context(Http2Connection(address)) for _ in range(12)]
        refused = [
            connection
            for connection in connections
            if any(isinstance(event, h2.events.ConnectionTerminated) for event in connection.receive(0.1))
        ]

        assert len(refused) >= 3
        assert sales.ListSales(ListSalesRequest(), timeout=5) is not None
        assert limited.http.client.get("/readyz").status_code == 200


def test_more_calls_than_a_process_may_run_are_refused_at_once_whichever_way_they_come(
    limited: Deployment, address: str, folder: Path
) -> None:
    other = apsw.Connection(str(folder / "sale.db"))
    other.execute("BEGIN IMMEDIATE")  # whoever wants to write has to wait
    with open_channel(address) as channel:
        grpc.channel_ready_future(channel).result(10)  # connections of other tests may not be gone yet
        issue: Any = AccessTokenServiceStub(channel).IssueAccessToken
        waiting = [issue.future(IssueAccessTokenRequest(), timeout=20) for _ in range(MAX_CALLS)]
        try:
            wait_until(lambda: code_of(SaleServiceStub(channel).GetSale) is grpc.StatusCode.UNAVAILABLE)
            began = time.monotonic()
            alone: Any = refusal(SaleServiceStub(channel).GetSale, GetSaleRequest(invoice_id="1"))
            shared = on_a_stream(channel, "/connectingparty.sale.v1.SaleService/GetSale")
            by_http = limited.http.client.post(
                "/cardrefs/1/get-client-ids",
                json={
                    "consumer": {"device": {"serialNumber": "1"}},
                    "session": {"accessToken": new_token()},
                },
            )
            seconds = time.monotonic() - began
            health: Any = HealthStub(channel)

            assert health.Check(HealthCheckRequest(), timeout=5).status in HealthCheckResponse.ServingStatus.values()
        finally:
            other.execute("ROLLBACK")
            other.close()
        for call in waiting:
            call.exception()  # some were answered, some gave up: here it is of no matter

    retry = RetryInfo()
    assert any(detail.Unpack(retry) for detail in rpc_status.from_call(alone).details)
    assert (alone.code(), reason(alone)) == (grpc.StatusCode.UNAVAILABLE, "ERROR_REASON_SERVER_UNAVAILABLE")
    assert retry.retry_delay.seconds == 1
    assert shared == grpc.StatusCode.UNAVAILABLE.value[0]
    assert (by_http.status_code, by_http.headers["Retry-After"]) == (503, "1")
    assert by_http.json()["error"]["code"] == "4000"
    assert seconds < 1
    refused = limited.service.wait_for_event("too many calls")
    assert (refused["running"], refused["level"]) == (MAX_CALLS, "warning")


def on_a_stream(channel: grpc.Channel, method: str) -> int:
    """Return the status of a call on a stream."""
    stub: Any = MultiplexServiceStub(channel)
    request = MultiplexRequest(calls=[Call(id=1, method=method, timeout=5)])
    (answer,) = next(stub.Multiplex(iter([request]))).answers
    return int(answer.code)


def test_answers_that_are_not_taken_keep_nobody_else_out(address: str, sales: Any) -> None:
    with ExitStack() as stack:
        for _ in range(3):
            connection = stack.enter_context(Http2Connection(address, initial_window=0))
            connection.wait_for(h2.events.SettingsAcknowledged)
            for _ in range(16):
                connection.send(connection.begin(LIST), ListSalesRequest())

        for _ in range(20):
            assert sales.ListSales(ListSalesRequest(), timeout=5) is not None


def test_who_watches_health_keeps_no_check_out(limited: Deployment, address: str) -> None:
    with ExitStack() as stack:
        channels = [stack.enter_context(grpc.insecure_channel(address, CHANNEL_OPTIONS)) for _ in range(4)]
        stubs: list[Any] = [HealthStub(channel) for channel in channels]
        request = HealthCheckRequest()
        watches = [stubs[number % 4].Watch(request, timeout=20) for number in range(MAX_HEALTH_WATCHES)]
        assert {next(watch).status for watch in watches} == {HealthCheckResponse.SERVING}
        with pytest.raises(grpc.RpcError) as refused:
            next(stubs[0].Watch(request, timeout=20))
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert stubs[0].Check(request, timeout=5).status == HealthCheckResponse.SERVING
        assert limited.http.client.get("/readyz").status_code == 200
