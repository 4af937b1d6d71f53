"""The proto says what the contract says; this table is written from the contract, by hand."""

from collections.abc import Iterator
from operator import attrgetter

import protovalidate
import pytest
from buf.validate import validate_pb2
from connectingparty.multiplex.v1 import multiplex_service_pb2
from connectingparty.sale.v1 import (
    access_token_service_pb2,
    blocklist_service_pb2,
    card_service_pb2,
    endpoint_service_pb2,
    sale_service_pb2,
)
from connectingparty.sale.v1.access_pb2 import access
from connectingparty.sale.v1.error_reason_pb2 import ErrorCause, ErrorReason, error_kind
from connectingparty.sale.v1.sale_pb2 import Location
from connectingparty.sale.v1.sale_service_pb2 import InitiateSaleRequest
from google.api.annotations_pb2 import http
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.rpc.code_pb2 import Code

from tests.proof.requests import every_rpc

SERVICES = (sale_service_pb2, access_token_service_pb2, card_service_pb2, blocklist_service_pb2, endpoint_service_pb2)
ERRORS = """
1000 INVALID_REQUEST    400 INVALID_ARGUMENT
1001 INVALID_REQUEST    400 INVALID_ARGUMENT
1002 INVALID_REQUEST    415 -
1003 INVALID_REQUEST    413 RESOURCE_EXHAUSTED
1004 INVALID_REQUEST    404 UNIMPLEMENTED
1005 INVALID_REQUEST    405 -
1101 INVALID_REQUEST    401 UNAUTHENTICATED
1102 INVALID_REQUEST    403 PERMISSION_DENIED
1103 INVALID_REQUEST    410 FAILED_PRECONDITION
1104 INVALID_REQUEST    404 NOT_FOUND
1105 INVALID_REQUEST    409 ALREADY_EXISTS
1106 INVALID_REQUEST    404 NOT_FOUND
1107 INVALID_REQUEST    422 FAILED_PRECONDITION
1108 INVALID_REQUEST    409 ABORTED
1109 INVALID_REQUEST    403 PERMISSION_DENIED
1110 INVALID_REQUEST    401 UNAUTHENTICATED
1111 INVALID_REQUEST    403 PERMISSION_DENIED
2001 FILTERED           403 FAILED_PRECONDITION
2002 FILTERED           403 FAILED_PRECONDITION
2003 FILTERED           403 PERMISSION_DENIED
2004 FILTERED           429 RESOURCE_EXHAUSTED
3000 SERVER_FAILED      500 INTERNAL
4000 SERVER_UNAVAILABLE 503 UNAVAILABLE
4001 SERVER_UNAVAILABLE 504 DEADLINE_EXCEEDED
"""


def test_every_error_is_told_as_the_contract_says() -> None:
    told = {}
    for value in ErrorReason.DESCRIPTOR.values:
        if value.number:
            kind = value.GetOptions().Extensions[error_kind]
            cause = ErrorCause.Name(kind.cause).removeprefix("ERROR_CAUSE_")
            told[str(value.number)] = [
                cause,
                str(kind.http_status),
                Code.Name(kind.grpc_code) if kind.grpc_code else "-",
            ]
            assert kind.message.endswith(".")

    assert told == {line.split()[0]: line.split()[1:] for line in ERRORS.strip().splitlines()}


def requests() -> Iterator[Descriptor]:
    for file in SERVICES:
        for service in file.DESCRIPTOR.services_by_name.values():
            for rpc in service.methods:
                yield rpc.input_type


def strings(message: Descriptor) -> Iterator[FieldDescriptor]:
    for field in message.fields:
        if field.message_type is not None and not field.message_type.file.package.startswith("google."):
            yield from strings(field.message_type)
        elif field.type == FieldDescriptor.TYPE_STRING:
            yield field


@pytest.mark.parametrize(
    "field", [field for request in requests() for field in strings(request)], ids=attrgetter("full_name")
)
def test_every_string_of_a_request_refuses_nul(field: FieldDescriptor) -> None:
    rules = field.GetOptions().Extensions[validate_pb2.field]
    text = rules.repeated.items.string if field.is_repeated else rules.string

    assert text.not_contains == "\0" or text.ipv4


def test_the_routes_are_those_of_the_contract() -> None:
    routes = set()
    for file in SERVICES:
        for service in file.DESCRIPTOR.services_by_name.values():
            for rpc in service.methods:
                rule = rpc.GetOptions().Extensions[http]
                if rpc.GetOptions().HasExtension(http):
                    routes.add((rpc.name, rule.WhichOneof("pattern"), rule.post or rule.get))

    assert routes == {
        ("InitiateSale", "post", "/sale/initiate-sale"),
        ("CheckSale", "post", "/sale/{invoice_id}/check"),
        ("RequestAccessToken", "get", "/auth/request-access-token"),
        ("NotifyCardMapping", "post", "/sale/notification"),
        ("GetClientIds", "post", "/cardrefs/{invoice_id}/get-client-ids"),
        ("ReceiveCallback", "get", "/sale/callback"),
    }


def test_every_rpc_says_who_may_call_it() -> None:
    for file in (*SERVICES, multiplex_service_pb2):
        for service in file.DESCRIPTOR.services_by_name.values():
            for rpc in service.methods:
                options = rpc.GetOptions()
                assert options.HasExtension(access), rpc.full_name
                # Calls on a stream have roles of their own.
                assert bool(options.Extensions[access].role) is (rpc.name != "Multiplex"), rpc.full_name
                assert bool(options.Extensions[access].party) is options.HasExtension(http), rpc.full_name


@pytest.mark.parametrize("name", [rpc.full_name for rpc in every_rpc()])
def test_the_bounds_of_every_request_can_be_checked(name: str) -> None:
    request = GetMessageClass(descriptor_pool.Default().FindMethodByName(name).input_type)()

    protovalidate.collect_violations(request)  # raises where a bound can never hold


@pytest.mark.parametrize("name", [rpc.full_name for rpc in every_rpc()])
def test_every_list_of_a_request_may_have_so_many_items_only(name: str) -> None:
    waiting = [descriptor_pool.Default().FindMethodByName(name).input_type]
    while waiting:
        for field in waiting.pop().fields:
            rules = field.GetOptions().Extensions[validate_pb2.field].repeated
            assert rules.max_items > 0 or not field.is_repeated, field.full_name
            waiting += [] if field.message_type is None else [field.message_type]


@pytest.mark.parametrize(("name", "edge"), [("lat", 90.0), ("lng", 180.0)])
def test_the_bounds_of_a_location_are_inclusive(name: str, edge: float) -> None:
    for value, valid in ((edge, True), (-edge, True), (edge * 1.0001, False), (-edge * 1.0001, False), (0.0, True)):
        location = Location()
        setattr(location, name, value)
        assert (not protovalidate.collect_violations(location)) is valid


def test_a_latitude_of_zero_is_a_latitude() -> None:
    request = InitiateSaleRequest(location=Location(lat=0.0))

    assert InitiateSaleRequest.FromString(request.SerializeToString()).location.HasField("lat")
    assert not request.location.HasField("lng")
