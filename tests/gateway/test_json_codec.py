"""JSON becomes messages and messages become JSON as the contract and protobuf's own mapping say."""

import json
from typing import Any

import pytest
from connectingparty.sale.v1.access_token_service_pb2 import IssueAccessTokenRequest
from connectingparty.sale.v1.sale_pb2 import Location, Sale, SaleState
from connectingparty.sale.v1.sale_service_pb2 import CheckSaleResponse, InitiateSaleRequest
from google.protobuf import json_format
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st

from gateway.json_codec import Findings, JsonCodec

REQUEST = JsonCodec(InitiateSaleRequest)
RESPONSE = JsonCodec(CheckSaleResponse)
text = st.text()


@st.composite
def initiate_requests(draw: st.DrawFn) -> InitiateSaleRequest:
    message = InitiateSaleRequest()
    message.consumer.device.serial_number = draw(text)
    if draw(st.booleans()):
        message.consumer.device.imei = draw(text)
    message.consumer.ip_addresses.extend(draw(st.lists(text, max_size=3)))
    if draw(st.booleans()):
        message.location.CopyFrom(Location(lat=draw(st.floats(allow_nan=False, allow_infinity=False))))
    message.transaction.amount_centis = draw(st.integers(-(2**63), 2**63 - 1))
    message.session.access_token = draw(text)
    return message


@given(initiate_requests())
def test_a_message_is_read_back_from_its_json(message: InitiateSaleRequest) -> None:
    assert REQUEST.decode(json.loads(REQUEST.encode(message))) == (message, Findings())


@given(initiate_requests())
def test_protobufs_own_json_is_read_alike(message: InitiateSaleRequest) -> None:
    # It writes 64-bit integers as strings; both forms are taken.
    assert REQUEST.decode(json.loads(json_format.MessageToJson(message))) == (message, Findings())


def test_integers_are_numbers_and_what_is_absent_is_left_out() -> None:
    message = CheckSaleResponse(
        invoice_id="id",
        session=CheckSaleResponse.Session(check_signature="C", nonce="n", token="t"),
        transaction=CheckSaleResponse.Transaction(random_sum_centis=9007199254740993),
    )

    assert RESPONSE.encode(message) == (
        b'{"invoiceId":"id","session":{"checkSignature":"C","nonce":"n","token":"t"},'
        b'"transaction":{"randomSumCentis":9007199254740993}}'
    )


def test_zero_is_present_and_null_is_absent() -> None:
    message, findings = REQUEST.decode({"location": {"lat": 0, "lng": None}, "session": None})

    assert message.location.HasField("lat")
    assert not message.location.HasField("lng")
    assert not message.HasField("session")
    assert findings == Findings()


def test_unknown_members_and_other_spellings_are_ignored() -> None:
    document = {"consumer": {"device": {"serial_number": "x", "SerialNumber": 1}, "more": []}, "": {}}

    message, findings = REQUEST.decode(document)

    assert message == InitiateSaleRequest(consumer=InitiateSaleRequest.Consumer(device=InitiateSaleRequest.Device()))
    assert findings.violations == []


def test_each_unknown_member_is_found_by_its_path_as_long_as_there_are_few() -> None:
    document = {"consumer": {"device": {"serial_number": "x"}, "more": None}, "transaction": {"amount": {"a": 1}}}

    assert REQUEST.decode(document)[1].ignored == [
        "consumer.device.serial_number",
        "consumer.more",
        "transaction.amount",
    ]
    assert len(REQUEST.decode({f"m{index}": 1 for index in range(1000)})[1].ignored) == 8


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), "9223372036854775807", "0", "-1"])
def test_an_integer_is_a_number_or_its_decimal_digits(value: object) -> None:
    message, findings = REQUEST.decode({"transaction": {"amountCentis": value}})

    assert findings == Findings()
    assert message.transaction.amount_centis == int(str(value))


@pytest.mark.parametrize(
    "value", [2**63, -(2**63) - 1, 1.0, 1e300, True, "1.0", "1e2", "+1", "01", " 1", "", "x", "१", "9" * 50, [], {}]
)
def test_what_is_no_64_bit_integer_is_named(value: object) -> None:
    message, findings = REQUEST.decode({"transaction": {"amountCentis": value}})

    assert [violation.path for violation in findings.violations] == ["transaction.amountCentis"]
    assert message.transaction.amount_centis == 0


@pytest.mark.parametrize(
    ("document", "paths"),
    [
        ({"consumer": []}, ["consumer"]),
        ({"consumer": {"device": {"serialNumber": 1, "imei": {}}}}, ["serialNumber", "imei"]),
        ({"consumer": {"ipAddresses": "x"}}, ["ipAddresses"]),
        ({"consumer": {"ipAddresses": ["x", 1, "y", None]}}, ["ipAddresses[1]", "ipAddresses[3]"]),
        ({"location": {"lat": "1", "lng": False}}, ["lat", "lng"]),
        ({"session": {"accessToken": "\ud800"}}, ["accessToken"]),
    ],
)
def test_every_member_of_a_wrong_type_is_named(document: dict[str, Any], paths: list[str]) -> None:
    _, findings = REQUEST.decode(document)

    assert [
        violation.path.removeprefix("consumer.device.").rpartition(".")[2] for violation in findings.violations
    ] == paths


def test_an_item_that_cannot_be_read_keeps_its_place() -> None:
    message, _ = REQUEST.decode({"consumer": {"ipAddresses": ["x", 1, "y"]}})

    assert list(message.consumer.ip_addresses) == ["x", "", "y"]


def test_a_type_without_a_known_json_form_is_refused_at_the_start() -> None:
    with pytest.raises(TypeError, match="details"):
        JsonCodec(Status)


def test_a_length_of_time_is_seconds_in_a_string() -> None:
    request, nothing = JsonCodec(IssueAccessTokenRequest).decode({"ttl": "1.500s"})

    assert (request.ttl.ToMilliseconds(), nothing) == (1500, Findings())
    assert JsonCodec(IssueAccessTokenRequest).encode(request) == b'{"ttl":"1.500s"}'
    for wrong in ("1.5", 90, "soon"):
        _, found = JsonCodec(IssueAccessTokenRequest).decode({"ttl": wrong})
        (violation,) = found.violations
        assert violation.path == "ttl"
        assert violation.description.startswith("must be a time in seconds as in 1.5s")


def test_times_and_enums_are_written_as_protobuf_writes_them() -> None:
    sale = Sale(invoice_id="1", state=SaleState.SALE_STATE_CHECKED, amount_centis=2**53 + 1)
    sale.initiate_time.FromJsonString("2026-11-21T12:00:00.123456Z")
    written = json.loads(JsonCodec(Sale).encode(sale))

    assert (written["state"], written["initiateTime"]) == ("SALE_STATE_CHECKED", "2026-11-21T12:00:00.123456Z")
    assert JsonCodec(Sale).decode(written) == (sale, Findings())


@pytest.mark.parametrize("value", ["yesterday", 0, {}, "2026-13-01T00:00:00Z"])
def test_what_is_no_time_is_named(value: object) -> None:
    _, findings = JsonCodec(Sale).decode({"initiateTime": value})

    assert [violation.path for violation in findings.violations] == ["initiateTime"]


@pytest.mark.parametrize("value", ["CHECKED", "", 2])
def test_what_is_no_value_of_an_enum_is_named(value: object) -> None:
    _, findings = JsonCodec(Sale).decode({"state": value})

    assert [violation.path for violation in findings.violations] == ["state"]


@pytest.mark.parametrize("item", [1, "x"])
def test_of_a_list_that_is_too_long_no_more_is_read_than_shows_that(item: object) -> None:
    message, findings = REQUEST.decode({"consumer": {"ipAddresses": [item] * 30_000}})

    assert len(message.consumer.ip_addresses) == 65
    assert len(findings.violations) == (65 if item == 1 else 0)
