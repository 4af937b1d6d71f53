"""What is out of bounds is named by its JSON path, once, and in the order of the proto."""

from typing import Any

import pytest
from connectingparty.sale.v1.access_token_service_pb2 import IssueAccessTokenRequest
from connectingparty.sale.v1.card_service_pb2 import PutCardRequest
from connectingparty.sale.v1.sale_pb2 import SaleState
from connectingparty.sale.v1.sale_service_pb2 import (
    CheckSaleRequest,
    InitiateSaleRequest,
    ReceiveCallbackRequest,
    ReportSaleStatusRequest,
    VerifyRandomSumRequest,
)
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from service.errors import FieldViolation
from service.rpc.bounds import find_violations
from tests.merchant import initiate_document, new_token, with_member

SERIAL_NUMBER = "is required: a string of 1 to 50 characters"
ACCESS_TOKEN = "is required: a string of 32 to 128 characters"
NUL = "must not contain the character NUL"
CURRENCY = "must be an ISO 4217 alpha code, three upper-case letters such as EUR"
IPV4 = "must be IPv4, as in 203.0.113.7"
CALLBACK = {"status": "approved", "orderid": "1", "client_orderid": "2", "control": "3"}


def initiate(**members: Any) -> InitiateSaleRequest:
    """Return a request that is in order but for the members, with `__` between the names of a path."""
    document = initiate_document(new_token())
    for path, value in members.items():
        document = with_member(document, path.replace("__", "."), value)
    return ParseDict(document, InitiateSaleRequest())


def callback(*parameters: dict[str, str]) -> ReceiveCallbackRequest:
    return ParseDict({**CALLBACK, "parameters": parameters}, ReceiveCallbackRequest())


def fields(message: Message) -> list[str]:
    return [violation.field for violation in find_violations(message)]


def test_a_message_within_its_bounds_has_no_violation() -> None:
    for message in (initiate(), callback(), callback({"name": "a", "value": ""}), IssueAccessTokenRequest()):
        assert find_violations(message) == []


def test_a_nested_field_is_named_by_its_json_path() -> None:
    assert find_violations(initiate(consumer__device__serialNumber="")) == [
        ("consumer.device.serialNumber", SERIAL_NUMBER)
    ]


def test_each_faulty_item_of_a_repeated_field_is_named_by_its_index() -> None:
    request = initiate(consumer__ipAddresses=["192.0.2.17", "::1", "10.0.0.5", "192.0.2.256"])

    assert find_violations(request) == [("consumer.ipAddresses[1]", IPV4), ("consumer.ipAddresses[3]", IPV4)]


def test_a_field_of_a_repeated_message_has_the_index_in_the_middle_of_its_path() -> None:
    request = callback({"name": "a"}, {"name": "\0", "value": "a\0"}, {"name": "b", "value": "b" * 32769})

    assert find_violations(request) == [
        ("parameters[1].name", NUL),
        ("parameters[1].value", NUL),
        ("parameters[2].value", "must have at most 32768 characters, not 32769"),
    ]


def test_too_many_items_are_a_fault_of_the_whole_field() -> None:
    assert fields(callback(*[{"name": "a"}] * 201)) == ["parameters"]


def test_a_field_with_a_json_name_of_its_own_is_named_by_that() -> None:
    assert fields(ReceiveCallbackRequest()) == ["status", "orderid", "client_orderid", "control"]


def test_a_missing_whole_object_names_the_required_fields_in_it() -> None:
    assert find_violations(initiate(session=...)) == [("session.accessToken", ACCESS_TOKEN)]
    assert find_violations(initiate(consumer=...)) == [("consumer.device.serialNumber", SERIAL_NUMBER)]
    assert find_violations(initiate(consumer__device=...)) == [("consumer.device.serialNumber", SERIAL_NUMBER)]
    assert fields(CheckSaleRequest(invoice_id="id")) == [
        "consumer.device.serialNumber",
        "session.accessToken",
        "session.nonce",
        "session.signature",
        "session.token",
    ]


def test_a_missing_object_is_looked_into_however_deep_it_nests() -> None:
    assert fields(PutCardRequest(consumer_id="id")) == [
        "card.number",
        "card.expiry.month",
        "card.expiry.year",
        "card.holder.firstName",
        "card.holder.lastName",
    ]


def test_a_missing_number_is_told_by_its_bound() -> None:
    assert find_violations(initiate(transaction__amountCentis=...)) == [
        ("transaction.amountCentis", "must be greater than 0, not 0 or missing")
    ]


def test_nul_is_refused_wherever_it_stands() -> None:
    assert find_violations(initiate(consumer__device__serialNumber="a\0")) == [("consumer.device.serialNumber", NUL)]
    assert find_violations(IssueAccessTokenRequest(serial_number="\0")) == [("serialNumber", NUL)]
    assert find_violations(VerifyRandomSumRequest(invoice_id="a\0b")) == [("invoiceId", NUL)]


@pytest.mark.parametrize("consumer_id", ["device:", "device:R58M123ABC"])
def test_no_consumer_can_pass_for_a_device(consumer_id: str) -> None:
    request = IssueAccessTokenRequest(consumer_id=consumer_id)

    assert find_violations(request) == [("consumerId", "must not begin with device:")]


@pytest.mark.parametrize("consumer_id", ["device", "Device:1", " device:1", "a device:1", "\u0436" * 64])
def test_any_other_consumer_is_taken(consumer_id: str) -> None:
    assert find_violations(IssueAccessTokenRequest(consumer_id=consumer_id)) == []


@pytest.mark.parametrize("currency", ["AAA", "DEM", "EURO", "EU", "EU\0", "\u0415UR"])
def test_a_word_that_is_no_currency_is_refused_in_our_words(currency: str) -> None:
    assert find_violations(initiate(transaction__currency=currency)) == [("transaction.currency", CURRENCY)]


@pytest.mark.parametrize("currency", ["eur", "Eur", " EUR", "EUR\n"])
def test_who_means_a_currency_is_told_how_to_write_it(currency: str) -> None:
    assert find_violations(initiate(transaction__currency=currency)) == [
        ("transaction.currency", f"{CURRENCY}: send EUR")
    ]


def test_a_missing_currency_is_only_missing() -> None:
    words = "is required: an ISO 4217 alpha code, three upper-case letters such as EUR"
    assert find_violations(initiate(transaction__currency="")) == [("transaction.currency", words)]


def test_a_length_that_is_out_of_bounds_is_told_beside_them() -> None:
    assert find_violations(initiate(session__accessToken="short", consumer__device__imei="1" * 17)) == [
        ("consumer.device.imei", "must have 14 to 16 characters, not 17"),
        ("session.accessToken", "must have 32 to 128 characters, not 5"),
    ]


@pytest.mark.parametrize(
    ("member", "value", "words"),
    [
        ("transaction__amountCentis", -5, "must be greater than 0, not -5"),
        ("location__lat", 90.5, "must be greater than or equal to -90 and less than or equal to 90, not 90.5"),
    ],
)
def test_a_number_that_is_out_of_bounds_is_told(member: str, value: float, words: str) -> None:
    assert find_violations(initiate(**{member: value})) == [(member.replace("__", "."), words)]


@pytest.mark.parametrize("value", [4444555566661111, -4444555566661111, 1e300, "Infinity", "NaN"])
def test_a_number_as_long_as_a_card_s_is_not_told(value: float | str) -> None:
    [violation] = find_violations(initiate(location__lat=value))

    assert violation.description.endswith(", not a number of more than 8 digits")


def test_of_a_card_nothing_is_told() -> None:
    card = PutCardRequest.Card(number="4" * 20, expiry=PutCardRequest.Expiry(month=13, year=1975))
    violations = find_violations(PutCardRequest(consumer_id="id", card=card))

    assert not any(value in violation.description for violation in violations for value in ("4444", "not 13", "1975"))


def test_a_field_that_breaks_several_rules_is_named_once() -> None:
    assert fields(IssueAccessTokenRequest(consumer_id="device:\0" + "a" * 100)) == ["consumerId"]
    assert fields(initiate(transaction__currency="\0")) == ["transaction.currency"]
    assert fields(initiate(session__accessToken="\0")) == ["session.accessToken"]


def test_violations_come_in_the_order_of_the_proto() -> None:
    request = initiate(transaction__currency="AAA", session=..., location__lat=91, location__lng=-181, consumer=...)
    request.consumer.ip_addresses.append("nowhere")

    assert fields(request) == [
        "consumer.device.serialNumber",
        "consumer.ipAddresses[0]",
        "location.lat",
        "location.lng",
        "session.accessToken",
        "transaction.currency",
    ]


def test_an_enum_is_told_by_its_names() -> None:
    request = ReportSaleStatusRequest(invoice_id="1", state=SaleState.SALE_STATE_EXPIRED)

    assert find_violations(request) == [
        FieldViolation(
            "state",
            "must be one of SALE_STATE_APPROVED, SALE_STATE_DECLINED, SALE_STATE_FILTERED, SALE_STATE_FAILED,"
            " SALE_STATE_REVERSED, SALE_STATE_CHARGED_BACK, not SALE_STATE_EXPIRED",
        )
    ]


def test_of_a_list_that_is_far_too_long_only_the_beginning_is_looked_at() -> None:
    violations = find_violations(initiate(consumer__ipAddresses=["x"] * 10_000))

    assert {violation.field for violation in violations} == {
        "consumer.ipAddresses",
        *(f"consumer.ipAddresses[{index}]" for index in range(65)),
    }
