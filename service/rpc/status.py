"""How an error is told over gRPC: a status with the details of google.rpc (AIP-193)."""

from collections.abc import Mapping, Sequence

import grpc
from connectingparty.sale.v1 import error_reason_pb2
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from service.errors import ErrorReason, SaleError, kind_of

DOMAIN = error_reason_pb2.DESCRIPTOR.package
"""The `domain` of every `google.rpc.ErrorInfo` of ours."""


def status_of(error: SaleError, metadata: Mapping[str, str]) -> grpc.Status:
    """Return the status that tells an error.

    Args:
        error: the error.
        metadata: what else is known, for the `metadata` of ErrorInfo.

    Returns:
        Its code, message and trailing metadata.
    """
    details: list[Message] = [
        ErrorInfo(reason=ErrorReason.Name(error.reason), domain=DOMAIN, metadata={**error.metadata, **metadata}),
    ]
    if error.violations:
        details.append(
            BadRequest(
                field_violations=[
                    BadRequest.FieldViolation(field=violation.field, description=violation.description)
                    for violation in error.violations
                ]
            )
        )
    if error.retry_after_seconds is not None:
        details.append(RetryInfo(retry_delay=Duration(seconds=error.retry_after_seconds)))
    # Only what can't arise over gRPC has no code of its own.
    code = kind_of(error.reason).grpc_code or Code.INTERNAL
    return rpc_status.to_status(Status(code=code, message=str(error), details=_packed(details)))


def status_name(status: grpc.StatusCode | int) -> str:
    """Return the name of a status code.

    Args:
        status: the enum, or its number: what grpc.aio says that a call was aborted with.
    """
    if isinstance(status, grpc.StatusCode):
        return status.name
    return next(code.name for code in grpc.StatusCode if code.value[0] == status)


def _packed(details: Sequence[Message]) -> list[any_pb2.Any]:
    packed = [any_pb2.Any() for _ in details]
    for any_message, detail in zip(packed, details, strict=True):
        any_message.Pack(detail)
    return packed
