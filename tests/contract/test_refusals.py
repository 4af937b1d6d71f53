"""Each refusal that the contract lists, provoked over both wires; and that a refused request changes nothing."""

import pytest

from gateway.errors import KINDS
from tests.conftest import Deployment
from tests.contract.test_sale import opened
from tests.merchant import MAX_CENTIS, SESSION_TOKEN, check_document, initiate_document, new_token, with_member
from tests.transports import Answer, Transport

INITIATE_FAULTS = [
    ("consumer.device.serialNumber", ...),
    ("consumer.device.serialNumber", ""),
    ("consumer.device.serialNumber", "x" * 51),
    ("consumer.device.serialNumber", "a\0b"),
    ("consumer.device.imei", "1" * 13),
    ("consumer.device.imei", "1" * 17),
    ("consumer.device.imei", ""),
    ("consumer.device.imei", "1234567\0901234"),
    ("session.accessToken", ...),
    ("session.accessToken", "x" * 31),
    ("session.accessToken", "x" * 129),
    ("session.accessToken", "x" * 32 + "\0"),
    ("transaction.amountCentis", ...),
    ("transaction.amountCentis", 0),
    ("transaction.amountCentis", -1),
    ("transaction.currency", ...),
    ("transaction.currency", "EU"),
    ("transaction.currency", "EURO"),
    ("transaction.currency", "eur"),
    ("transaction.currency", "ZZZ"),
    ("transaction.currency", "EUR\n"),
    ("location.lat", 90.0000001),
    ("location.lat", -91),
    ("location.lng", 180.5),
    ("location.lng", -181),
]
CHECK_FAULTS = [
    ("consumer.device.serialNumber", ...),
    ("consumer.device.serialNumber", "x" * 51),
    ("session.accessToken", "x" * 31),
    ("session.nonce", ...),
    ("session.nonce", "x" * 129),
    ("session.signature", "x" * 31),
    ("session.signature", ...),
    ("session.token", "x" * 15),
    ("session.token", "x" * 37),
    ("session.token", ...),
    ("sourceOfFunds.reference.clientCardId", ""),
    ("sourceOfFunds.reference.clientCardId", "x" * 129),
]


@pytest.mark.parametrize(("path", "value"), INITIATE_FAULTS)
def test_initiate_names_a_faulty_field_by_its_path(transport: Transport, path: str, value: object) -> None:
    document = with_member(initiate_document(new_token()), path, value)

    answer = transport.initiate(document)

    assert answer.code == 1001
    assert answer.message.startswith(f"{path} ")
    assert ";" not in answer.message


@pytest.mark.parametrize(("path", "value"), CHECK_FAULTS)
def test_check_names_a_faulty_field_by_its_path(transport: Transport, path: str, value: object) -> None:
    access_token, session = opened(transport)
    document = with_member(check_document(access_token, session), path, value)

    answer = transport.check(session["invoiceId"], document)

    assert answer.code == 1001
    assert answer.message.startswith(f"{path} ")


@pytest.mark.parametrize("address", ["1.2.3", "1.2.3.4.5", "256.1.1.1", "2001:db8::1", "", "localhost"])
def test_an_ip_address_is_dotted_ipv4(transport: Transport, address: str) -> None:
    document = with_member(initiate_document(new_token()), "consumer.ipAddresses", ["192.0.2.1", address])

    assert transport.initiate(document).message.startswith("consumer.ipAddresses[1] ")


def test_every_faulty_field_is_named_at_once(transport: Transport) -> None:
    answer = transport.initiate({"location": {"lat": 91}})

    assert answer.code == 1001
    assert [fault.split()[0] for fault in answer.message.split("; ")] == [
        "consumer.device.serialNumber",
        "location.lat",
        "session.accessToken",
        "transaction.amountCentis",
        "transaction.currency",
    ]


def test_hundreds_of_faults_in_one_list_are_answered_too(transport: Transport) -> None:
    for count, more in ((64, 32), (10_000, 34)):  # of those that are too many only the first one is looked at
        document = with_member(initiate_document(new_token()), "consumer.ipAddresses", ["x"] * count)
        answer = transport.initiate(document)
        assert answer.code == 1001
        assert answer.message.endswith(f"; and {more} more")


def test_an_unknown_access_token_is_refused(transport: Transport) -> None:
    assert transport.initiate(initiate_document(new_token())).code == 1101


def test_a_currency_that_no_endpoint_takes_is_filtered(transport: Transport) -> None:
    answer = transport.initiate(initiate_document(transport.request_access_token(), "CHF"))

    assert answer.code == 2002
    assert answer.message.startswith("No endpoint takes this transaction.currency; it must be one of ")


def test_an_amount_outside_the_endpoints_limits_is_filtered(transport: Transport) -> None:
    document = initiate_document(transport.request_access_token(), amount_centis=MAX_CENTIS + 1)

    answer = transport.initiate(document)

    assert answer.code == 2001
    assert answer.message == f"transaction.amountCentis must be from 1 to {MAX_CENTIS}, not {MAX_CENTIS + 1}."


def test_an_unknown_invoice_is_not_found(transport: Transport) -> None:
    access_token, session = opened(transport)

    for invoice_id in ("01a1fc77-45c6-732f-a34e-daf9b7e8bb4c", "x", session["invoiceId"].upper()):
        assert transport.check(invoice_id, check_document(access_token, session)).code == 1104


@pytest.mark.parametrize("path", ["consumer.device.serialNumber", "accessToken", "nonce", "signature"])
def test_whatever_does_not_match_gives_the_same_refusal(transport: Transport, path: str) -> None:
    access_token, session = opened(transport)
    document = check_document(access_token, session)
    other_token, other = opened(transport)
    values = {"accessToken": other_token, **other["session"], "consumer.device.serialNumber": "R58M123ABD"}
    forged = with_member(document, path if "." in path else f"session.{path}", values[path])

    answer = transport.check(session["invoiceId"], forged)

    assert answer.code == 1102
    assert answer.message == KINDS[1102].message  # whichever differs
    assert transport.check(session["invoiceId"], document).code == 0


def test_every_other_digit_of_nonce_and_signature_is_refused(transport: Transport) -> None:
    access_token, session = opened(transport)
    document = check_document(access_token, session)

    for name in ("nonce", "signature"):
        value = session["session"][name]
        for position in range(0, len(value), 3):
            digit = "0" if value[position] != "0" else "1"
            forged = with_member(document, f"session.{name}", value[:position] + digit + value[position + 1 :])
            assert transport.check(session["invoiceId"], forged).code == 1102


@pytest.mark.parametrize("count", [1, 2, 5, -1, -2, -5])
def test_characters_moved_between_access_token_and_serial_number_are_refused(transport: Transport, count: int) -> None:
    # The two are neighbours in the string that is signed: the signature would still be right.
    access_token, session = opened(transport)
    document = check_document(access_token, session)
    joined = access_token + document["consumer"]["device"]["serialNumber"]
    cut = len(access_token) + count
    shifted = with_member(document, "session.accessToken", joined[:cut])
    shifted = with_member(shifted, "consumer.device.serialNumber", joined[cut:])

    assert transport.check(session["invoiceId"], shifted).code == 1102


@pytest.mark.parametrize("count", [1, 3, 10, -1, -3, -10])
def test_characters_moved_between_nonce_and_invoice_id_are_refused(transport: Transport, count: int) -> None:
    access_token, session = opened(transport)
    nonce, invoice_id = session["session"]["nonce"], session["invoiceId"]
    joined, cut = nonce + invoice_id, len(nonce) + count
    shifted = with_member(check_document(access_token, session), "session.nonce", joined[:cut])

    assert transport.check(joined[cut:], shifted).code == 1104
    assert transport.check(invoice_id, shifted).code == 1102


@pytest.mark.parametrize("endpoint_digits", [1, 5])
def test_characters_moved_between_serial_number_and_endpoint_or_nonce_are_refused(
    transport: Transport, endpoint_digits: int
) -> None:
    access_token, session = opened(transport)
    document = check_document(access_token, session)
    lent = session["endpointId"][:endpoint_digits]
    serial_number = document["consumer"]["device"]["serialNumber"] + lent
    longer_serial = with_member(document, "consumer.device.serialNumber", serial_number)
    longer_nonce = with_member(document, "session.nonce", lent + document["session"]["nonce"])

    assert transport.check(session["invoiceId"], longer_serial).code == 1102
    assert transport.check(session["invoiceId"], longer_nonce).code == 1102


def test_strings_are_compared_without_unicode_normalisation(transport: Transport) -> None:
    access_token = transport.request_access_token()
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    document = with_member(initiate_document(access_token), "consumer.device.serialNumber", composed)
    session = transport.initiate(document).body

    def check(serial_number: str) -> Answer:
        return transport.check(session["invoiceId"], check_document(access_token, session, serial_number=serial_number))

    assert check(decomposed).code == 1102
    assert check(composed).code == 0


def test_another_session_token_is_refused_and_the_first_one_stays(transport: Transport) -> None:
    access_token, session = opened(transport)
    first, second = (check_document(access_token, session, token=token) for token in (SESSION_TOKEN, "x" * 16))
    answer = transport.check(session["invoiceId"], first)

    assert transport.check(session["invoiceId"], second).code == 1105
    assert transport.check(session["invoiceId"], first) == answer


def test_a_client_card_id_is_not_found_and_binds_nothing(transport: Transport) -> None:
    access_token, session = opened(transport)
    with_card = with_member(
        check_document(access_token, session, token="y" * 16), "sourceOfFunds.reference.clientCardId", "card-1"
    )

    assert transport.check(session["invoiceId"], with_card).code == 1106
    assert transport.check(session["invoiceId"], check_document(access_token, session)).code == 0


def test_a_failed_check_over_json_names_its_invoice(deployment: Deployment) -> None:
    access_token, session = opened(deployment.http)
    forged = check_document(access_token, session, serial_number="other")

    assert deployment.http.check(session["invoiceId"], forged).body["invoiceId"] == session["invoiceId"]
    assert deployment.http.check("no-such", forged).body["invoiceId"] == "no-such"
    assert deployment.http.check(session["invoiceId"], {}).body["invoiceId"] == session["invoiceId"]
    assert "invoiceId" not in deployment.http.initiate({}).body
