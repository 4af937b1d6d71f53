"""One rpc as an ASGI endpoint: HTTP request to message, call, message to HTTP answer."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from connectingparty.sale.v1.error_reason_pb2 import ErrorReason
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import BadRequest
from starlette.types import Receive, Scope, Send

from gateway.errors import GatewayError, from_rpc_error
from gateway.http_messages import CLIENT_CERTIFICATE_NAMES, header_values, read_body, require_json, send_json
from gateway.json_body import parse_object
from gateway.json_codec import Findings, JsonCodec, Violations
from gateway.query import QueryCodec
from gateway.request_record import RequestRecord
from gateway.routes import HttpRoute
from gateway.unknown_members import MemberNames, named

IDEMPOTENCY_KEY = "idempotency-key"
"""The HTTP header, and the metadata, that makes a request safe to send again."""
REQUEST_ID = "x-request-id"
"""The metadata that carries the id of a request on."""
CLIENT_ADDRESS = "client-address"
"""The metadata that tells the address of whoever has sent a request."""
CLIENT_CERTIFICATE = "client-certificate"
"""The metadata that tells a subject alternative name of its client certificate; there may be several."""
INVALID_FIELDS = "invalid-fields-bin"
"""The metadata that tells the service which fields could not be put into the message, so that its error names them
together with what it finds out of bounds itself."""

_MAX_VIOLATIONS = 32  # metadata has 8 KiB; more than this are items of one list
_MAX_METADATA_VALUE = 1024  # the service has bounds of its own; this is what it gets to see
_INVOICE_ID = "invoice_id"

Reader = Callable[[Scope, Receive], Awaitable[tuple[Message, Findings]]]
"""Reads what a request says apart from its path."""


class Transcoder:
    """Answers the requests of one route by calls of one rpc.

    Args:
        route: the route.
        channel: to the service.
        deadline_seconds: how long a call may take.
    """

    def __init__(self, route: HttpRoute, channel: grpc.aio.Channel, *, deadline_seconds: float) -> None:
        request_class, response_class = GetMessageClass(route.rpc.input_type), GetMessageClass(route.rpc.output_type)
        self._route = route
        self._read = _body_reader(request_class, route) if route.has_body else _query_reader(request_class)
        request_descriptor: Any = request_class.DESCRIPTOR  # its stub names two classes that are one
        self._members = MemberNames(request_descriptor, route.path_fields)
        self._response_codec: JsonCodec[Message] = JsonCodec(response_class)
        self._call: Any = channel.unary_unary(
            f"/{route.rpc.containing_service.full_name}/{route.rpc.name}",
            request_serializer=request_class.SerializeToString,
            response_deserializer=response_class.FromString,
        )
        self._deadline_seconds = deadline_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            GatewayError: it is to be answered with an error.
        """
        record: RequestRecord = scope["state"]["record"]
        record.route = self._route.path
        try:
            request, findings = await self._read_request(scope, receive)
            if findings.ignored:
                record.ignored_members = named(findings.ignored)
            response = await self._proceed(request, _metadata(scope, record.request_id, findings.violations), record)
        except GatewayError as error:
            # Where the path names an invoice, the error does too.
            error.invoice_id = error.invoice_id or scope["path_params"].get(_INVOICE_ID)
            if record.ignored_members and error.reason == ErrorReason.ERROR_REASON_INVALID_FIELD:
                error.message += self._members.hint(record.ignored_members)
            raise
        await send_json(scope, send, 200, self._response_codec.encode(response))

    async def _read_request(self, scope: Scope, receive: Receive) -> tuple[Message, Findings]:
        request, findings = await self._read(scope, receive)
        for name, value in scope["path_params"].items():
            setattr(request, name, value)
        return request, findings

    async def _proceed(self, request: Message, metadata: Any, record: RequestRecord) -> Message:
        try:
            call = self._call(request, timeout=self._deadline_seconds, metadata=metadata)
            response: Message = await call
        except grpc.aio.AioRpcError as error:
            record.read_trailing_metadata(error.trailing_metadata())
            raise from_rpc_error(error) from error
        record.read_trailing_metadata(await call.trailing_metadata())
        return response


def _body_reader(request_class: type[Message], route: HttpRoute) -> Reader:
    codec = JsonCodec(request_class, without=route.path_fields)

    async def read(scope: Scope, receive: Receive) -> tuple[Message, Findings]:
        require_json(scope)
        return codec.decode(parse_object(await read_body(receive)))

    return read


def _query_reader(request_class: type[Message]) -> Reader:
    codec = QueryCodec(request_class)

    async def read(scope: Scope, receive: Receive) -> tuple[Message, Findings]:
        return codec.decode(scope["query_string"])

    return read


def _metadata(scope: Scope, request_id: str, violations: Violations) -> tuple[tuple[str, str | bytes], ...]:
    metadata: list[tuple[str, str | bytes]] = [(REQUEST_ID, request_id)]
    if (client := scope["client"]) is not None:
        metadata.append((CLIENT_ADDRESS, client[0]))
    metadata += [(CLIENT_CERTIFICATE, name) for name in scope["state"].get(CLIENT_CERTIFICATE_NAMES, ())]
    fields = [BadRequest.FieldViolation(field=path, description=words) for path, words in violations[:_MAX_VIOLATIONS]]
    for value in header_values(scope, IDEMPOTENCY_KEY.encode()):
        if fault := _fault_of(value):
            fields.append(BadRequest.FieldViolation(field="Idempotency-Key", description=fault))
        else:
            metadata.append((IDEMPOTENCY_KEY, value.decode()))
    if fields:
        metadata.append((INVALID_FIELDS, BadRequest(field_violations=fields).SerializeToString()))
    return tuple(metadata)


def _fault_of(value: bytes) -> str | None:
    """Return why gRPC has no room for a value in metadata, if it has none."""
    if len(value) > _MAX_METADATA_VALUE:
        return f"must have at most {_MAX_METADATA_VALUE} characters"
    if not (value.isascii() and value.decode().isprintable()):
        return "must be printable ASCII characters"
    return None
