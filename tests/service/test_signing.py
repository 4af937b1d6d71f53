"""Signatures are those of the contract's worked examples, and of an HMAC computed elsewhere."""

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.signing import (
    ControlKey,
    callback_control,
    check_signature,
    notification_signature,
    parse_control_key,
    same,
    same_signature,
    session_signature,
)
from tests.vectors import VECTORS

text = st.text(max_size=60)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["endpointId"])
def test_the_worked_examples_of_the_contract_are_met(vector: dict[str, Any]) -> None:
    key = parse_control_key(vector["controlKey"])

    assert vector["signature"] == session_signature(
        key,
        access_token=vector["accessToken"],
        serial_number=vector["serialNumber"],
        endpoint_id=vector["endpointId"],
        nonce=vector["nonce"],
        invoice_id=vector["invoiceId"],
        amount_centis=vector["amountCentis"],
        currency=vector["currency"],
    )
    assert vector["checkSignature"] == check_signature(
        key,
        serial_number=vector["serialNumber"],
        nonce=vector["nonce"],
        endpoint_id=vector["endpointId"],
        invoice_id=vector["invoiceId"],
        server_card_id=vector["serverCardId"] or "",
    )


@given(st.binary(min_size=16, max_size=64), st.lists(text, min_size=6, max_size=6), st.integers(1, 2**63 - 1))
def test_a_signature_is_the_hmac_of_the_parts_in_their_order(key: bytes, parts: list[str], amount: int) -> None:
    token, serial, endpoint, nonce, invoice, currency = parts
    message = f"{token}{serial}{endpoint}{nonce}{invoice}{amount}{currency}".encode()

    assert (
        session_signature(
            ControlKey(key.hex(), key),
            access_token=token,
            serial_number=serial,
            endpoint_id=endpoint,
            nonce=nonce,
            invoice_id=invoice,
            amount_centis=amount,
            currency=currency,
        )
        == hmac.new(key, message, hashlib.sha1).hexdigest().upper()
    )


@given(st.binary(min_size=16, max_size=64), st.lists(text, min_size=4, max_size=4))
def test_what_answers_the_gateway_is_signed_likewise(key: bytes, parts: list[str]) -> None:
    serial, nonce, endpoint, invoice = parts
    control_key = ControlKey(key.hex(), key)

    def hmac_of(message: str) -> str:
        return hmac.new(key, message.encode(), hashlib.sha1).hexdigest().upper()

    assert hmac_of(serial + nonce + endpoint + invoice) == check_signature(
        control_key, serial_number=serial, nonce=nonce, endpoint_id=endpoint, invoice_id=invoice
    )
    assert hmac_of(nonce + endpoint + invoice) == notification_signature(
        control_key, nonce=nonce, endpoint_id=endpoint, invoice_id=invoice
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "xyz",
        "58B2A205-5BB5-5BCB-B37D",
        "58B2A205-5BB5-5BCB-B37D-2F2A4276B0B",
        "5" * 31,
        "5" * 33,
        "58 " * 16,
        "5x" * 16,
    ],
)
def test_what_is_no_control_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must ") as refusal:
        parse_control_key(text)

    assert not text or text not in str(refusal.value)


def test_a_control_key_that_is_short_is_told_how_long_one_is() -> None:
    with pytest.raises(ValueError, match=r"^must have 32 hexadecimal digits at least$"):
        parse_control_key("58" * 15)


def test_a_control_key_is_the_same_with_and_without_dashes() -> None:
    written = "58B2A205-5BB5-5BCB-B37D-2F2A4276B0BD"

    for text in (written, written.replace("-", ""), written.lower(), f"{written}\n"):
        assert parse_control_key(text).bytes == bytes.fromhex("58b2a2055bb55bcbb37d2f2a4276b0bd")
    assert parse_control_key(f" {written}\n").written == written


def test_a_control_key_does_not_show_itself() -> None:
    assert "58" not in repr(parse_control_key("58" * 16))


def test_the_control_of_a_callback_is_the_sha_1_of_its_parts_and_the_key_as_it_is_written() -> None:
    key = parse_control_key("58B2A205-5BB5-5BCB-B37D-2F2A4276B0BD")
    joined = "approved123456invoice-1" + "58B2A205-5BB5-5BCB-B37D-2F2A4276B0BD"

    control = callback_control(key, status="approved", orderid="123456", client_orderid="invoice-1")

    assert control == hashlib.sha1(joined.encode()).hexdigest()  # noqa: S324  # as the contract has it


def test_signatures_are_compared_whatever_their_case_and_other_strings_are_not() -> None:
    assert same_signature("9D41AB", "9d41aB")
    assert not same_signature("9D41AB", "9D41AC")
    assert not same("R58M", "r58m")
    assert not same("caf\u00e9", "cafe\u0301")
