"""A query becomes a message: what is named goes to its field, all else is kept as it was."""

from urllib.parse import urlencode

import pytest
from connectingparty.sale.v1.error_reason_pb2 import ErrorReason
from connectingparty.sale.v1.sale_pb2 import QueryParameter
from connectingparty.sale.v1.sale_service_pb2 import GetSaleRequest, ListSalesRequest, ReceiveCallbackRequest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.json_codec import Findings
from gateway.query import MAX_BYTES, QueryCodec

CODEC = QueryCodec(ReceiveCallbackRequest)
NAMES = ("status", "orderid", "client_orderid", "type", "amount", "control")


def others(message: ReceiveCallbackRequest) -> list[tuple[str, str]]:
    return [(parameter.name, parameter.value) for parameter in message.parameters]


@given(st.dictionaries(st.sampled_from(NAMES), st.text()), st.lists(st.tuples(st.text(), st.text()), max_size=20))
def test_every_parameter_arrives_as_it_was_sent(named: dict[str, str], more: list[tuple[str, str]]) -> None:
    more = [(name, value) for name, value in more if name not in NAMES]
    query = urlencode([*named.items(), *more], errors="surrogatepass").encode()

    message, findings = CODEC.decode(query)

    assert findings == Findings()
    assert {name: getattr(message, name) for name in NAMES} == dict.fromkeys(NAMES, "") | named
    assert others(message) == [(name.replace("\0", "\\x00"), value.replace("\0", "\\x00")) for name, value in more]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"", []),
        (b"&&", []),
        (b"a", [("a", "")]),
        (b"a=1&a=2", [("a", "1"), ("a", "2")]),
        (b"a=b=c", [("a", "b=c")]),
        (b"a=1;b=2", [("a", "1;b=2")]),
        (b"Status=x", [("Status", "x")]),
        (b"parameters=x", [("parameters", "x")]),
        (b"a=%", [("a", "%")]),
        (b"a=%zz", [("a", "%zz")]),
        ("a=Ж".encode(), [("a", "Ж")]),
        (b"a=\xff%FF", [("a", "\\xff\\xff")]),
        (b"a=%C3%28", [("a", "\\xc3(")]),
        (b"a=%ED%A0%80", [("a", "\\xed\\xa0\\x80")]),
    ],
)
def test_odd_queries_keep_what_they_say(query: bytes, expected: list[tuple[str, str]]) -> None:
    message, findings = CODEC.decode(query)

    assert (others(message), findings) == (expected, Findings())


def test_a_field_is_there_once_or_says_the_same() -> None:
    message, findings = CODEC.decode(b"status=a&status=b&orderid=1&orderid=1")

    assert [violation.path for violation in findings.violations] == ["status"]
    assert (message.status, message.orderid) == ("", "1")


def test_an_empty_field_is_set() -> None:
    message, _ = CODEC.decode(b"type=&status=")

    assert message.HasField("type")
    assert message.type == ""


def test_a_query_has_its_limit() -> None:
    CODEC.decode(b"x" * MAX_BYTES)
    with pytest.raises(GatewayError) as refusal:
        CODEC.decode(b"x" * (MAX_BYTES + 1))

    assert refusal.value.reason == ErrorReason.ERROR_REASON_BODY_TOO_LARGE


def test_without_a_field_for_them_other_parameters_are_ignored() -> None:
    message, findings = QueryCodec(GetSaleRequest).decode(b"invoice_id=7&more=1")

    assert (message, findings) == (GetSaleRequest(invoice_id="7"), Findings(ignored=["more"]))
    with pytest.raises(TypeError, match="state"):
        QueryCodec(ListSalesRequest)
    assert QueryCodec(QueryParameter).decode(b"name=x")[0].name == "x"
