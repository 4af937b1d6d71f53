"""The reference of the JSON API as OpenAPI 3.1, made of the proto: routes, messages, bounds, errors and comments."""

from collections.abc import Iterable, Iterator
from functools import cache

import connectingparty.sale.v1
import orjson
from connectingparty.sale.v1.error_reason_pb2 import ErrorCause, ErrorReason, errors
from connectingparty.sale.v1.sale_pb2 import QueryParameter
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from starlette.types import Receive, Scope, Send

from gateway.comments import COMMENTS
from gateway.errors import KINDS, GatewayError
from gateway.http_messages import send_json
from gateway.json_schema import Schema, Schemas, described
from gateway.links import links_between
from gateway.routes import HttpRoute, annotated_routes

_JSON = "application/json"
_ANYWHERE = (
    ErrorReason.ERROR_REASON_MALFORMED_REQUEST,
    ErrorReason.ERROR_REASON_INVALID_FIELD,
    ErrorReason.ERROR_REASON_BODY_TOO_LARGE,
    ErrorReason.ERROR_REASON_SERVER_FAILED,
    ErrorReason.ERROR_REASON_SERVER_UNAVAILABLE,
    ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED,
)
"""What any request may be answered with."""
_TELL_WHEN = {
    ErrorReason.ERROR_REASON_IDEMPOTENCY_KEY_IN_USE,
    ErrorReason.ERROR_REASON_TOO_MANY_SALES,
    ErrorReason.ERROR_REASON_SERVER_UNAVAILABLE,
    ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED,
}
"""Errors that tell when to try again."""

_REQUEST_ID: Schema = {
    "name": "X-Request-Id",
    "in": "header",
    "description": "Names the request in answer and logs: 1-128 letters, digits and ._:/+=@-. Otherwise one is made.",
    "schema": {"type": "string"},
}
# The service is who knows these bounds; the comment of the rpc tells them.
_IDEMPOTENCY_KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Makes the request safe to send again: with the same key it gives the same answer.",
    "schema": {"type": "string", "pattern": "^[!-~](?:[ -~]{0,253}[!-~])?$"},
}
_RESPONSE_HEADERS: dict[str, Schema] = {
    "X-Request-Id": {"required": True, "description": "Names the request.", "schema": {"type": "string"}},
    "Retry-After": {
        "description": "Seconds after which it is worth trying again.",
        "schema": {"type": "integer", "minimum": 0},
    },
}


class Reference:
    """`GET /openapi.json`: the reference of this API."""

    path = "/openapi.json"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope["state"]["record"].route = self.path
        await send_json(scope, send, 200, _encoded())


@cache
def _encoded() -> bytes:
    return orjson.dumps(describe(list(annotated_routes())))


def describe(routes: Iterable[HttpRoute]) -> Schema:
    """Return the OpenAPI document of routes.

    Args:
        routes: one for each operation.
    """
    routes = list(routes)
    schemas = Schemas((route.rpc.input_type for route in routes), (route.rpc.output_type for route in routes))
    paths: dict[str, Schema] = {}
    for route in routes:
        operation = _operation(route, schemas)
        if links := links_between(route, routes):
            operation["responses"]["200"]["links"] = links
        paths.setdefault(route.path, {})[route.http_method.lower()] = operation
    services = {route.rpc.containing_service.full_name: route.rpc.containing_service.name for route in routes}
    package = connectingparty.sale.v1.__name__
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sales",
            "version": package.rpartition(".")[2],
            "description": "Whatever goes wrong, on every path, the answer is an Error. Its codes are stable.",
        },
        "tags": [{"name": name, **described(full_name)} for full_name, name in services.items()],
        "paths": paths,
        "components": {
            "parameters": {"Request-Id": _REQUEST_ID, "Idempotency-Key": _IDEMPOTENCY_KEY},
            "headers": _RESPONSE_HEADERS,
            "schemas": {"Error": _error_schema(), **schemas.components()},
        },
    }


def _operation(route: HttpRoute, schemas: Schemas) -> Schema:
    rpc = route.rpc
    reasons = list(dict.fromkeys([*_ANYWHERE, *rpc.GetOptions().Extensions[errors]]))
    if route.has_body:
        reasons.append(ErrorReason.ERROR_REASON_UNSUPPORTED_MEDIA_TYPE)
    operation: Schema = {
        "operationId": rpc.name,
        "tags": [rpc.containing_service.name],
        "summary": _first_sentence(rpc),
        **described(rpc.full_name),
        "parameters": [*_parameters(route, schemas, reasons)],
    }
    if route.has_body:
        body = schemas.refer(rpc.input_type, "Request", without=route.path_fields)
        operation["requestBody"] = {"required": True, "content": {_JSON: {"schema": body}}}
    operation["responses"] = {"200": _success(rpc, schemas), **_failures(reasons)}
    return operation


def _parameters(route: HttpRoute, schemas: Schemas, reasons: Iterable[int]) -> Iterator[Schema]:
    for field in route.rpc.input_type.fields:
        if field.name in route.path_fields:
            schema = schemas.value(field, "Request")
            # A segment ends at a slash, and an escaped one is a slash as well.
            schema = {**schema, "pattern": r"^[^/\u0000]*$"}
            yield {"name": field.name, "in": "path", "required": True, **described(field.full_name), "schema": schema}
        elif not route.has_body:
            yield _query_parameter(field, schemas)
    yield {"$ref": "#/components/parameters/Request-Id"}
    if ErrorReason.ERROR_REASON_IDEMPOTENCY_KEY_REUSED in reasons:
        yield {"$ref": "#/components/parameters/Idempotency-Key"}


def _query_parameter(field: FieldDescriptor, schemas: Schemas) -> Schema:
    parameter = {"name": field.name, "in": "query", **described(field.full_name)}
    schema = schemas.value(field, "Request")
    if field.message_type is not None and field.message_type.full_name == QueryParameter.DESCRIPTOR.full_name:
        # Each member is a parameter of its own: OpenAPI's way to say that others are taken.
        others: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
        return {**parameter, "style": "form", "explode": True, "schema": others | _renamed(schema)}
    return {**parameter, "required": schemas.is_required(field, "Request"), "schema": schema}


def _renamed(schema: Schema) -> Schema:
    return {"maxProperties": schema["maxItems"]} if "maxItems" in schema else {}


def _success(rpc: MethodDescriptor, schemas: Schemas) -> Schema:
    return {
        "description": COMMENTS.get(rpc.output_type.full_name, "It is done."),
        "headers": {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}},
        "content": {_JSON: {"schema": schemas.refer(rpc.output_type, "Response")}},
    }


def _failures(reasons: Iterable[int]) -> dict[str, Schema]:
    by_status: dict[int, list[int]] = {}
    for reason in sorted(reasons):
        by_status.setdefault(KINDS[reason].http_status, []).append(reason)
    return {str(status): _failure(by_status[status]) for status in sorted(by_status)}


def _failure(reasons: list[int]) -> Schema:
    names = [ErrorReason.Name(reason) for reason in reasons]  # type: ignore[arg-type]  # the numbers are the enum's
    told = [COMMENTS.get(f"{ErrorReason.DESCRIPTOR.full_name}.{name}", name) for name in names]
    headers = ["X-Request-Id"] + ([] if _TELL_WHEN.isdisjoint(reasons) else ["Retry-After"])
    return {
        "description": "\n".join(f"- {reason}: {words}" for reason, words in zip(reasons, told, strict=True)),
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
        "content": {
            _JSON: {
                "schema": {
                    "$ref": "#/components/schemas/Error",
                    "properties": {"error": {"properties": {"code": {"enum": [str(reason) for reason in reasons]}}}},
                },
                "examples": {
                    name: {"value": orjson.loads(GatewayError(reason).body())}  # type: ignore[arg-type]  # the same
                    for name, reason in zip(names, reasons, strict=True)
                },
            }
        },
    }


def _error_schema() -> Schema:
    causes = [name.removeprefix("ERROR_CAUSE_") for name, number in ErrorCause.items() if number]
    return {
        "type": "object",
        "description": "Why a request was refused.",
        "properties": {
            "error": {
                "type": "object",
                "properties": {
                    "cause": {"type": "string", "enum": causes, **described(ErrorCause.DESCRIPTOR.full_name)},
                    "code": {
                        "type": "string",
                        "enum": [str(reason) for reason in KINDS],
                        "description": "Which kind of error, for programs.",
                    },
                    "message": {"type": "string", "description": "For developers, and never the same for ever."},
                },
                "required": ["cause", "code", "message"],
            },
            "invoiceId": {"type": "string", "description": "Id of the sale, when it is known."},
        },
        "required": ["error"],
    }


def _first_sentence(rpc: MethodDescriptor) -> str:
    return COMMENTS.get(rpc.full_name, rpc.name).partition(". ")[0].partition("\n")[0].removesuffix(".")
