"""The operations of the reference, in the order in which a sale makes them, as the pages need them."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from connectingparty.sale.v1.access_pb2 import Party

from gateway.comments import COMMENTS
from gateway.json_schema import Schema
from gateway.pages.examples import EXAMPLES, FLOW, SAME
from gateway.pages.fields import Field, field_of, fields_of
from gateway.routes import HttpRoute

_JSON = "application/json"
_PLACES = ("path", "query", "header")


class Operation(NamedTuple):
    """One operation."""

    name: str
    """Of its rpc."""
    service: str
    http_method: str
    path: str
    has_body: bool
    summary: str
    description: str
    sender: str
    """Who sends it, in words."""
    is_served: bool
    """Whether this server has it: payment gateways may have a port of their own."""
    path_fields: list[Field]
    query_fields: list[Field]
    header_fields: list[Field]
    body_fields: list[Field]
    answer_fields: list[Field]
    codes: list[int]
    """What it can be refused with."""

    @property
    def request_fields(self) -> list[Field]:
        """What a request says, its headers left out."""
        return [*self.path_fields, *self.query_fields, *self.body_fields]


def operations_of(
    reference: Schema, routes: Iterable[HttpRoute], parties: Collection[Party.ValueType]
) -> list[Operation]:
    """Return the operations, those of a sale in their order first.

    Args:
        reference: the OpenAPI document.
        routes: one for each operation.
        parties: whose operations this server has.
    """
    found = [_operation(reference, route, is_served=route.party in parties) for route in routes]
    places = {name: place for place, name in enumerate(FLOW)}
    return sorted(found, key=lambda operation: places.get(operation.name, len(places)))


def sources_of(operations: Iterable[Operation]) -> dict[str, str]:
    """Return by its JSON path, for every value that only an answer tells, the operation that answers it first."""
    sources: dict[str, str] = {}
    for operation in operations:
        for field in operation.answer_fields:
            if field.path not in EXAMPLES:
                sources.setdefault(field.path, operation.name)
    return sources


def needs_of(operation: Operation, sources: dict[str, str]) -> dict[str, str]:
    """Return what a request of an operation needs of earlier answers: paths there, and the operations that answer."""
    needed = {SAME.get(field.path, field.path) for field in operation.request_fields if field.is_required}
    return {path: source for path, source in sources.items() if path in needed}


def _operation(reference: Schema, route: HttpRoute, *, is_served: bool) -> Operation:
    told, components = reference["paths"][route.path][route.http_method.lower()], reference["components"]
    parameters = list(_parameters(told, components["parameters"]))
    path, query, header = ([_field(each) for each in parameters if each["in"] == place] for place in _PLACES)
    body = told.get("requestBody", {"content": {_JSON: {"schema": {}}}})["content"][_JSON]["schema"]
    answer = told["responses"]["200"]["content"][_JSON]["schema"]
    return Operation(
        route.rpc.name,
        route.rpc.containing_service.name,
        route.http_method,
        route.path,
        route.has_body,
        told["summary"],
        told["description"],
        COMMENTS[f"{Party.DESCRIPTOR.full_name}.{Party.Name(route.party)}"].rstrip("."),
        is_served,
        path,
        query,
        header,
        list(fields_of(body, components["schemas"])),
        list(fields_of(answer, components["schemas"])),
        sorted(_codes(told)),
    )


def _parameters(told: Schema, shared: Schema) -> Iterator[Schema]:
    for parameter in told["parameters"]:
        yield shared[parameter["$ref"].rpartition("/")[2]] if "$ref" in parameter else parameter


def _field(parameter: dict[str, Any]) -> Field:
    described = {**parameter["schema"], "description": parameter["description"]}
    return field_of(parameter["name"], described, is_required=parameter.get("required", False))


def _codes(told: Schema) -> Iterator[int]:
    for status, answer in told["responses"].items():
        if status != "200":
            error = answer["content"][_JSON]["schema"]["properties"]["error"]
            yield from map(int, error["properties"]["code"]["enum"])
