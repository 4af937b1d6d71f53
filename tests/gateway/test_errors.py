"""Every kind of error, and every status of gRPC, has the contract's body."""

import json

import grpc
import pytest
from connectingparty.sale.v1.error_reason_pb2 import ErrorReason
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from gateway.errors import KINDS, GatewayError, from_rpc_error

CAUSES = {"FILTERED", "INVALID_REQUEST", "SERVER_FAILED", "SERVER_UNAVAILABLE"}


def rpc_error(code: grpc.StatusCode, *details: Message, message: str = "words") -> grpc.aio.AioRpcError:
    status = Status(code=code.value[0], message=message)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    trailing = grpc.aio.Metadata(("grpc-status-details-bin", status.SerializeToString()))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing if details else grpc.aio.Metadata(), message)


@pytest.mark.parametrize("reason", sorted(KINDS))
def test_every_kind_of_error_has_the_contracts_body(reason: ErrorReason.ValueType) -> None:
    error = GatewayError(reason, invoice_id='"id"')
    body = json.loads(error.body())

    assert body["error"].keys() == {"cause", "code", "message"}
    assert body["error"]["cause"] in CAUSES
    assert body["error"]["code"] == str(int(reason))
    assert body["invoiceId"] == '"id"'
    assert 400 <= error.http_status < 600


@pytest.mark.parametrize("reason", sorted(KINDS.keys() - {ErrorReason.ERROR_REASON_CALLER_NOT_IDENTIFIED}))
def test_an_error_of_the_service_keeps_its_reason_and_its_words(reason: ErrorReason.ValueType) -> None:
    info = ErrorInfo(reason=ErrorReason.Name(reason), domain="connectingparty.sale.v1", metadata={"invoice_id": "id"})
    error = from_rpc_error(rpc_error(grpc.StatusCode.UNKNOWN, info, RetryInfo(retry_delay=Duration(seconds=7))))

    assert (error.reason, str(error), error.invoice_id) == (reason, "words", "id")
    assert (b"retry-after", b"7") in error.headers


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_a_status_without_a_reason_of_ours_tells_nothing_of_its_words(code: grpc.StatusCode) -> None:
    expected = {
        grpc.StatusCode.UNAVAILABLE: 4000,
        grpc.StatusCode.RESOURCE_EXHAUSTED: 4000,
        grpc.StatusCode.DEADLINE_EXCEEDED: 4001,
    }.get(code, 3000)
    foreign = ErrorInfo(reason="ERROR_REASON_INVOICE_NOT_FOUND", domain="elsewhere")

    for error in (rpc_error(code, message="10.0.0.5:5432"), rpc_error(code, foreign, message="10.0.0.5:5432")):
        told = from_rpc_error(error)
        assert told.reason == expected
        assert b"10.0.0.5" not in told.body()
        assert bool(told.headers) is (expected != 3000)
