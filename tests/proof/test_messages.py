"""What is within the bounds of the proto round-trips on both wires, and what is not is refused by the right path."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from connectingparty.sale.v1.sale_service_pb2 import ReceiveCallbackRequest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.json_body import parse_object
from gateway.json_codec import Findings, JsonCodec
from gateway.query import MAX_BYTES, QueryCodec
from service.rpc.bounds import find_violations
from tests.proof.messages import RPCS, broken_messages, messages

EXAMPLES = [5, pytest.param(5_000, marks=pytest.mark.long)]
TYPES = list({type.full_name: type for rpc in RPCS for type in (rpc.input_type, rpc.output_type)}.values())
by_type = pytest.mark.parametrize("descriptor", TYPES, ids=lambda descriptor: descriptor.name)


def check(strategy: st.SearchStrategy[Any], count: int, test: Any) -> None:
    """Run a test on so many examples."""
    limits = settings(
        max_examples=count, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    limits(given(strategy)(test))()


@pytest.mark.parametrize("count", EXAMPLES)
@by_type
def test_a_message_is_read_back_from_the_wire_and_from_json(descriptor: Descriptor, count: int) -> None:
    message_class = GetMessageClass(descriptor)
    codec = _codec(message_class)

    def round_trip(message: Message) -> None:
        assert message_class.FromString(message.SerializeToString()) == message
        if codec is not None:
            written = codec.encode(message)
            assert codec.decode(parse_object(written)) == (message, Findings())
            assert json_format.Parse(written, message_class()) == message
            assert codec.decode(json.loads(json_format.MessageToJson(message))) == (message, Findings())

    check(messages(descriptor), count, round_trip)


def _codec(message_class: type[Message]) -> JsonCodec[Message] | None:
    try:
        return JsonCodec(message_class)
    except TypeError:  # has a type that is on no route
        return None


@pytest.mark.parametrize("count", EXAMPLES)
@pytest.mark.parametrize("rpc", RPCS, ids=lambda rpc: rpc.name)
def test_a_request_within_its_bounds_is_taken(rpc: MethodDescriptor, count: int) -> None:
    def taken(message: Message) -> None:
        assert find_violations(message) == []

    check(messages(rpc.input_type), count, taken)


@pytest.mark.parametrize("count", EXAMPLES)
@pytest.mark.parametrize("rpc", [rpc for rpc in RPCS if rpc.input_type.fields], ids=lambda rpc: rpc.name)
def test_a_request_out_of_its_bounds_is_refused_by_the_paths_that_are(rpc: MethodDescriptor, count: int) -> None:
    def refused(broken: Any) -> None:
        assert {violation.field for violation in find_violations(broken.message)} == broken.paths

    check(broken_messages(rpc.input_type), count, refused)


@pytest.mark.parametrize("count", EXAMPLES)
def test_a_callback_is_read_back_from_a_query(count: int) -> None:
    codec = QueryCodec(ReceiveCallbackRequest)

    def round_trip(message: ReceiveCallbackRequest) -> None:
        fields = [(field.name, value) for field, value in message.ListFields() if not field.is_repeated]
        others = [(each.name, each.value) for each in message.parameters if each.name not in dict(fields)]
        del message.parameters[:]
        for name, value in others:
            message.parameters.add(name=name, value=value)
        query = urlencode([*fields, *others]).encode()
        if len(query) <= MAX_BYTES:
            assert codec.decode(query) == (message, Findings())

    check(messages(ReceiveCallbackRequest.DESCRIPTOR), count, round_trip)
