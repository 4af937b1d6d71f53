"""How an error is told over HTTP: the contract's body, made from the error table in the proto."""

from collections.abc import Sequence
from typing import Any

import grpc
import orjson
import structlog
from connectingparty.sale.v1 import error_reason_pb2
from connectingparty.sale.v1.error_reason_pb2 import ErrorCause, ErrorKind, ErrorReason, error_kind
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from grpc_status import rpc_status

Headers = Sequence[tuple[bytes, bytes]]

KINDS: dict[int, ErrorKind] = {
    value.number: value.GetOptions().Extensions[error_kind]
    for value in ErrorReason.DESCRIPTOR.values
    if value.number != ErrorReason.ERROR_REASON_UNSPECIFIED
}
"""How each kind of error is told, as the proto says."""

RETRY_AFTER_SECONDS = 1
"""What a client is told to wait when the service can't be asked."""

# What a status means that carries no reason of ours: gRPC itself made it, on the way or at the door.
_REASON_OF_CODE = {
    Code.UNAVAILABLE: ErrorReason.ERROR_REASON_SERVER_UNAVAILABLE,
    Code.RESOURCE_EXHAUSTED: ErrorReason.ERROR_REASON_SERVER_UNAVAILABLE,
    Code.DEADLINE_EXCEEDED: ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED,
}
_CAUSE_PREFIX = "ERROR_CAUSE_"
_NOT_IDENTIFIED = ErrorReason.Name(ErrorReason.ERROR_REASON_CALLER_NOT_IDENTIFIED)
_REQUIRED_ROLE = "required_role"
"""In the metadata of an error that a role of the gateway's is missing."""

_log = structlog.stdlib.get_logger(__name__)


class GatewayError(Exception):
    """A request is answered with an error.

    Args:
        reason: which kind of error.
        message: what the client may read; the kind's own message if left out.
        headers: to be sent with it.
        retry_after_seconds: when it is worth trying again, if it is.
        invoice_id: of the sale, when it is known.
    """

    def __init__(
        self,
        reason: ErrorReason.ValueType,
        message: str | None = None,
        *,
        headers: Headers = (),
        retry_after_seconds: int | None = None,
        invoice_id: str | None = None,
    ) -> None:
        super().__init__()
        self.reason = reason
        self.message = message or KINDS[reason].message
        self.http_status = KINDS[reason].http_status
        self.invoice_id = invoice_id
        self.headers = (
            headers if retry_after_seconds is None else (*headers, (b"retry-after", b"%d" % retry_after_seconds))
        )

    def __str__(self) -> str:
        return self.message

    def body(self) -> bytes:
        """Return the JSON body of the answer."""
        content: dict[str, Any] = {
            "error": {
                "cause": ErrorCause.Name(KINDS[self.reason].cause).removeprefix(_CAUSE_PREFIX),
                "code": str(int(self.reason)),
                "message": self.message,
            }
        }
        if self.invoice_id is not None:
            content["invoiceId"] = self.invoice_id
        return orjson.dumps(content)


def refuses_gateway(error: grpc.aio.AioRpcError) -> bool:
    """Tell whether the service does not let the gateway in, whatever it is asked for.

    Args:
        error: as the stub raised it.
    """
    return _refuses_gateway(_details_of(error)[0])


def from_rpc_error(error: grpc.aio.AioRpcError) -> GatewayError:
    """Return what a failed call means for the client.

    Args:
        error: as the stub raised it.

    Returns:
        The error that the service gave a reason for; for one that gRPC itself made, what comes nearest. That
        the service refuses the gateway is no fault of the client's: it is told that the server can't answer, and the
        log why.
    """
    info, retry = _details_of(error)
    if _refuses_gateway(info):
        _log.error("the service refuses the gateway", reason=info.reason, details=error.details())
        return GatewayError(ErrorReason.ERROR_REASON_SERVER_UNAVAILABLE, retry_after_seconds=RETRY_AFTER_SECONDS)
    if info.domain == error_reason_pb2.DESCRIPTOR.package and info.reason in ErrorReason.DESCRIPTOR.values_by_name:
        return GatewayError(
            ErrorReason.Value(info.reason),
            error.details(),
            retry_after_seconds=retry.retry_delay.seconds if _is_set(retry) else None,
            invoice_id=info.metadata.get("invoice_id"),
        )
    reason = _REASON_OF_CODE.get(error.code().value[0], ErrorReason.ERROR_REASON_SERVER_FAILED)
    unavailable = KINDS[reason].cause == ErrorCause.ERROR_CAUSE_SERVER_UNAVAILABLE
    return GatewayError(reason, retry_after_seconds=RETRY_AFTER_SECONDS if unavailable else None)


def _details_of(error: grpc.aio.AioRpcError) -> tuple[ErrorInfo, RetryInfo]:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # the stubs know the sync class only
    info, retry = ErrorInfo(), RetryInfo()
    for detail in status.details if status is not None else ():
        _ = detail.Unpack(info) or detail.Unpack(retry)
    return info, retry


def _refuses_gateway(info: ErrorInfo) -> bool:
    return info.reason == _NOT_IDENTIFIED or _REQUIRED_ROLE in info.metadata


def _is_set(message: Message) -> bool:
    return message.ByteSize() > 0
