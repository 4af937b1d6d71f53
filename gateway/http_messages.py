"""Reading HTTP requests and writing answers, at the level of ASGI."""

import re
from collections.abc import Iterable
from secrets import token_hex

from connectingparty.sale.v1.error_reason_pb2 import ErrorReason
from starlette.types import Receive, Scope, Send

from gateway.errors import GatewayError, Headers
from gateway.request_record import RequestRecord

REQUEST_ID = b"x-request-id"
"""The header that names a request, in its answer too."""
CLIENT_CERTIFICATE_NAMES = "client_certificate_names"
"""In the state of a request: the subject alternative names of its client's certificate, if it has shown one."""

_REQUEST_ID_VALUE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_JSON_TYPE = b"application/json"
_ALWAYS: Headers = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)
_JSON: Headers = ((b"content-type", _JSON_TYPE), *_ALWAYS)


def header_values(scope: Scope, name: bytes) -> list[bytes]:
    """Return all values of a header.

    Args:
        scope: of the request.
        name: of the header, in lower case.
    """
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return [value for key, value in headers if key == name]


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the id of a request: from its headers, or made here.

    Args:
        headers: names in lower case, and values.
    """
    for name, value in headers:
        if name == REQUEST_ID and _REQUEST_ID_VALUE.fullmatch(text := value.decode("latin-1")):
            return text
    return token_hex(16)


def require_json(scope: Scope) -> None:
    """Refuse a request whose body is not said to be JSON. A charset has no meaning there (RFC 8259) and is ignored.

    Raises:
        GatewayError: `ERROR_REASON_UNSUPPORTED_MEDIA_TYPE`.
    """
    values = header_values(scope, b"content-type")
    if len(values) != 1 or values[0].partition(b";")[0].strip().lower() != _JSON_TYPE:
        raise GatewayError(ErrorReason.ERROR_REASON_UNSUPPORTED_MEDIA_TYPE)


async def read_body(receive: Receive) -> bytes:
    """Return the body of a request, which the server gives in one piece.

    Args:
        receive: of the request.
    """
    body: bytes = (await receive())["body"]
    return body


async def send_json(scope: Scope, send: Send, status: int, body: bytes, headers: Headers = ()) -> None:
    """Send the answer of a request, and note its status in the request's record.

    Args:
        scope: of the request.
        send: of the request.
        status: HTTP status.
        body: JSON in UTF-8.
        headers: to be sent with it.
    """
    await _send(scope, send, status, body, (*_JSON, *headers))


async def send_content(scope: Scope, send: Send, content_type: bytes, body: bytes, headers: Headers = ()) -> None:
    """Send an answer that is no JSON of the contract: what there is of a page.

    Args:
        scope: of the request.
        send: of the request.
        content_type: of the body.
        body: of the answer.
        headers: to be sent with it.
    """
    await _send(scope, send, 200, body, ((b"content-type", content_type), *_ALWAYS, *headers))


async def _send(scope: Scope, send: Send, status: int, body: bytes, headers: Headers) -> None:
    record: RequestRecord = scope["state"]["record"]
    record.status = status
    own = ((b"content-length", b"%d" % len(body)), (REQUEST_ID, record.request_id.encode()))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *own]})
    await send({"type": "http.response.body", "body": body})
