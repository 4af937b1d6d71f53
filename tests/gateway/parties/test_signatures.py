"""The payment gateway's own signatures are those of the contract's worked examples."""

from typing import Any

import pytest

from gateway.parties.signatures import (
    callback_control,
    check_signature,
    notification_signature,
    same_signature,
    session_signature,
)
from tests.vectors import VECTORS


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["endpointId"])
def test_the_worked_examples_of_the_contract_are_met(vector: dict[str, Any]) -> None:
    key = vector["controlKey"]
    ids = {"nonce": vector["nonce"], "endpoint_id": vector["endpointId"], "invoice_id": vector["invoiceId"]}
    serial, callback = vector["serialNumber"], vector["callback"]

    assert vector["signature"] == session_signature(
        key,
        access_token=vector["accessToken"],
        serial_number=serial,
        amount_centis=vector["amountCentis"],
        currency=vector["currency"],
        **ids,
    )
    assert vector["checkSignature"] == check_signature(
        key, serial_number=serial, server_card_id=vector["serverCardId"] or "", **ids
    )
    assert vector["notificationCheckSignature"] == notification_signature(key, **ids)
    assert callback["control"] == callback_control(
        key, status=callback["status"], orderid=callback["orderid"], client_orderid=callback["client_orderid"]
    )


def test_case_makes_no_difference_to_a_signature_and_every_digit_does() -> None:
    assert same_signature("ab12", "AB12")
    assert not same_signature("ab12", "ab13")


def test_what_is_no_key_is_refused_without_being_told() -> None:
    with pytest.raises(ValueError, match="must be pairs of hexadecimal digits") as refused:
        notification_signature("secret words", nonce="n", endpoint_id="1", invoice_id="i")

    assert "secret" not in str(refused.value)
