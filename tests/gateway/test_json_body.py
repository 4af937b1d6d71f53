"""JSON is read strictly: what two parsers could understand differently is refused."""

import json
from contextlib import suppress
from typing import Any

import pytest
from connectingparty.sale.v1.error_reason_pb2 import ErrorReason
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.json_body import MAX_DEPTH, parse_object

scalars = st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(scalars | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


def refusal(body: bytes) -> str:
    with pytest.raises(GatewayError) as refused:
        parse_object(body)
    assert refused.value.reason == ErrorReason.ERROR_REASON_MALFORMED_REQUEST
    return str(refused.value)


@settings(max_examples=40)
@given(st.dictionaries(st.text(), values, max_size=5))
def test_what_another_writer_wrote_is_read_back(value: dict[str, Any]) -> None:
    assert parse_object(json.dumps(value).encode()) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_a_refusal(body: bytes) -> None:
    with suppress(GatewayError):
        assert isinstance(parse_object(body), dict)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "is empty"),
        (b"[]", "not a JSON object"),
        (b'{"secret": }', "not JSON"),
        (b'{"a": 1, "secret": 2, "a": 3}', "same key twice"),
        (b'{"x": [{"a": 1, "a": 1}]}', "same key twice"),
        (b'{"a": NaN}', "no NaN"),
        (b'{"secret": "\xff"}', "not UTF-8"),
        (b"[" * 100_000, "nests deeper"),
    ],
)
def test_a_refusal_tells_what_is_wrong_and_quotes_nothing(body: bytes, words: str) -> None:
    message = refusal(body)

    assert words in message
    assert "secret" not in message


def test_depth_is_counted_in_brackets_outside_of_strings() -> None:
    nested = b'{"a":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}"

    assert parse_object(nested)
    assert "nests deeper" in refusal(nested.replace(b"[", b"[[", 1).replace(b"]", b"]]", 1))
    assert parse_object(b'{"a": "' + b"[{" * 1000 + b'\\"[["}')
    assert parse_object(b'{"a": [' + b"[]," * 1000 + b"[]]}")


def test_integers_of_any_length_are_read_without_harm() -> None:
    assert parse_object(b'{"a": 9223372036854775807}') == {"a": 2**63 - 1}
    assert parse_object(b'{"a": ' + b"9" * 60_000 + b"}") == {"a": float("inf")}
