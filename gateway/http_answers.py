"""Answers that are given before there is a request that the application could answer."""

import structlog
from connectingparty.sale.v1.error_reason_pb2 import ErrorReason
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.errors import RETRY_AFTER_SECONDS, GatewayError
from gateway.http_messages import REQUEST_ID

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_log = structlog.stdlib.get_logger(__name__)


def _answer(error: GatewayError, headers: bytes) -> bytes:
    body = error.body()
    own = b"".join(b"%s: %s\r\n" % header for header in error.headers)
    fixed = b"content-type: application/json\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n"
    return STATUS_LINE[error.http_status] + fixed + own + headers + b"content-length: %d\r\n\r\n" % len(body) + body


_overloaded = GatewayError(ErrorReason.ERROR_REASON_SERVER_UNAVAILABLE, retry_after_seconds=RETRY_AFTER_SECONDS)
OVERLOADED = _answer(_overloaded, b"")
"""Ready-made: a request that is refused must cost next to nothing."""
OVERLOADED_AND_CLOSED = _answer(_overloaded, b"connection: close\r\n")


def malformed(message: str) -> GatewayError:
    """Return that something is no request; what follows it on its connection can't be told from it.

    Args:
        message: what is wrong with it.
    """
    return GatewayError(ErrorReason.ERROR_REASON_MALFORMED_REQUEST, message, headers=((b"connection", b"close"),))


def body_too_large(max_bytes: int) -> GatewayError:
    """Return that a body is larger than it may be; the rest of it is not read.

    Args:
        max_bytes: how long it may be.
    """
    return GatewayError(
        ErrorReason.ERROR_REASON_BODY_TOO_LARGE,
        f"The body is larger than {max_bytes} bytes.",
        headers=((b"connection", b"close"),),
    )


def refusal(error: GatewayError, request_id: str, *, logged: bool) -> bytes:
    """Return the answer to what is no request.

    Args:
        error: what is wrong with it.
        request_id: its X-Request-Id, or one that was made.
        logged: whether it gets its line in the log.
    """
    if logged:
        _log.info("request", request_id=request_id, status=error.http_status, code=int(error.reason))
    return _answer(error, b"%s: %s\r\n" % (REQUEST_ID, request_id.encode()))
