"""A client reads back from a status what the error said, and what the proto says of its kind."""

from collections.abc import Mapping

import grpc
import pytest
from connectingparty.sale.v1.error_reason_pb2 import ErrorReason, error_kind
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from service.errors import FieldViolation, SaleError, StoreUnavailable
from service.rpc.status import status_of

REASONS = [value for value in ErrorReason.values() if value != ErrorReason.ERROR_REASON_UNSPECIFIED]
ONLY_OVER_HTTP = {ErrorReason.ERROR_REASON_UNSUPPORTED_MEDIA_TYPE, ErrorReason.ERROR_REASON_METHOD_NOT_ALLOWED}
SOFT_LIMIT_OF_A_CLIENT = 8 * 1024


def read_back(error: SaleError, metadata: Mapping[str, str] | None = None) -> Status:
    """Return what the library for clients makes of the status of an error."""
    status = status_of(error, metadata or {})
    trailing = grpc.aio.Metadata(*status.trailing_metadata)
    failure = grpc.aio.AioRpcError(status.code, grpc.aio.Metadata(), trailing, status.details)
    read: Status = rpc_status.from_call(failure)  # type: ignore[arg-type]
    assert read.code == status.code.value[0]
    assert read.message == status.details == str(error)
    return read


def details(status: Status) -> list[Message]:
    unpacked: list[Message] = []
    for packed in status.details:
        kind = next(kind for kind in (ErrorInfo, BadRequest, RetryInfo) if packed.Is(kind.DESCRIPTOR))
        unpacked.append(kind.FromString(packed.value))
    return unpacked


def info_of(reason: ErrorReason.ValueType, **metadata: str) -> Message:
    info: Message = ErrorInfo(reason=ErrorReason.Name(reason), domain="connectingparty.sale.v1", metadata=metadata)
    return info


@pytest.mark.parametrize("reason", REASONS, ids=ErrorReason.Name)
def test_every_reason_has_the_code_and_the_words_of_the_proto(reason: ErrorReason.ValueType) -> None:
    kind = ErrorReason.DESCRIPTOR.values_by_number[reason].GetOptions().Extensions[error_kind]
    status = read_back(SaleError(reason))

    assert (status.code, status.message) == (kind.grpc_code or Code.INTERNAL, kind.message)
    assert (kind.grpc_code == Code.OK) is (reason in ONLY_OVER_HTTP)
    assert details(status) == [info_of(reason)]


def test_the_words_of_an_error_come_before_those_of_its_kind() -> None:
    assert read_back(SaleError(ErrorReason.ERROR_REASON_BLOCKED, "Гость, not you.")).message == "Гость, not you."


def test_error_info_tells_the_metadata_that_is_known() -> None:
    reason = ErrorReason.ERROR_REASON_SESSION_EXPIRED
    status = read_back(SaleError(reason), {"invoice_id": "019a9f3e"})

    assert details(status) == [info_of(reason, invoice_id="019a9f3e")]


def test_bad_request_names_every_faulty_field_in_its_order() -> None:
    violations = [FieldViolation("session.token", "is required"), FieldViolation("invoiceId", "is too long")]
    status = read_back(SaleError.invalid_fields(violations))
    info, bad_request = details(status)

    assert status.message == "session.token is required; invoiceId is too long"
    assert info == info_of(ErrorReason.ERROR_REASON_INVALID_FIELD)
    assert isinstance(bad_request, BadRequest)
    assert [(told.field, told.description) for told in bad_request.field_violations] == violations


def test_more_faulty_fields_than_a_client_takes_are_counted() -> None:
    violations = [
        FieldViolation(f"consumer.ipAddresses[{index}]", "must be a valid IPv4 address") for index in range(64)
    ]
    error = SaleError.invalid_fields(violations)
    _, bad_request = details(read_back(error))
    status = status_of(error, {})
    ((_, packed),) = status.trailing_metadata

    assert isinstance(bad_request, BadRequest)
    assert [told.field for told in bad_request.field_violations] == [told.field for told in violations[:32]]
    assert str(error).endswith("consumer.ipAddresses[31] must be a valid IPv4 address; and 32 more")
    assert len(status.details) + len(packed) * 4 / 3 < SOFT_LIMIT_OF_A_CLIENT


@pytest.mark.parametrize("seconds", [0, 7, 86_400])
def test_retry_info_tells_when_to_try_again(seconds: int) -> None:
    _, retry = details(read_back(SaleError(ErrorReason.ERROR_REASON_TOO_MANY_SALES, retry_after_seconds=seconds)))

    assert isinstance(retry, RetryInfo)
    assert (retry.retry_delay.seconds, retry.retry_delay.nanos) == (seconds, 0)


def test_a_store_out_of_reach_is_worth_another_try() -> None:
    status = read_back(StoreUnavailable())

    assert status.code == Code.UNAVAILABLE
    assert [type(detail) for detail in details(status)] == [ErrorInfo, RetryInfo]


def test_all_details_come_together() -> None:
    error = SaleError(
        ErrorReason.ERROR_REASON_INVALID_FIELD,
        violations=[FieldViolation("cursor", "is of another list")],
        retry_after_seconds=1,
    )

    assert [type(detail) for detail in details(read_back(error))] == [ErrorInfo, BadRequest, RetryInfo]
