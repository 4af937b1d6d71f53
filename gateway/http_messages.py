"""Reading HTTP requests and writing answers, at the level of ASGI."""

from collections.abc import Iterable

from connectingparty.sale.v1.error_reason_pb2 import ErrorReason
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from gateway.errors import GatewayError, Headers
from gateway.request_record import RequestRecord

REQUEST_ID = b"x-request-id"
"""The header that names a request, in its answer too."""

_JSON_TYPE = b"application/json"
_ALWAYS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-type", _JSON_TYPE),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)


def header_values(scope: Scope, name: bytes) -> list[bytes]:
    """Return all values of a header.

    Args:
        scope: of the request.
        name: of the header, in lower case.
    """
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return [value for key, value in headers if key == name]


def require_json(scope: Scope) -> None:
    """Refuse a request whose body is not said to be JSON. A charset has no meaning there (RFC 8259) and is ignored.

    Raises:
        GatewayError: `ERROR_REASON_UNSUPPORTED_MEDIA_TYPE`.
    """
    values = header_values(scope, b"content-type")
    if len(values) != 1 or values[0].partition(b";")[0].strip().lower() != _JSON_TYPE:
        raise GatewayError(ErrorReason.ERROR_REASON_UNSUPPORTED_MEDIA_TYPE)


async def read_body(scope: Scope, receive: Receive, max_bytes: int) -> bytes:
    """Read the body of a request.

    Args:
        scope: of the request.
        receive: of the request.
        max_bytes: how long it may be.

    Raises:
        GatewayError: `ERROR_REASON_BODY_TOO_LARGE`.
        ClientDisconnect: the client went away before it was complete.
    """
    for value in header_values(scope, b"content-length"):
        if value.isdigit() and int(value) > max_bytes:
            raise _too_large(max_bytes)
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        if not message.get("more_body", False):
            return bytes(body)


async def send_json(scope: Scope, send: Send, status: int, body: bytes, headers: Headers = ()) -> None:
    """Send the answer of a request, and note its status in the request's record.

    Args:
        scope: of the request.
        send: of the request.
        status: HTTP status.
        body: JSON in UTF-8.
        headers: to be sent with it.
    """
    record: RequestRecord = scope["state"]["record"]
    record.status = status
    own = ((b"content-length", b"%d" % len(body)), (REQUEST_ID, record.request_id.encode()))
    await send({"type": "http.response.start", "status": status, "headers": [*_ALWAYS, *own, *headers]})
    await send({"type": "http.response.body", "body": body})


def _too_large(max_bytes: int) -> GatewayError:
    # The rest of the body is not read, so the connection can't be used again.
    return GatewayError(
        ErrorReason.ERROR_REASON_BODY_TOO_LARGE,
        f"The body is larger than {max_bytes} bytes.",
        headers=((b"connection", b"close"),),
    )
