"""The flow of a sale, black box: what each side of the wire is promised when all goes well."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest

from tests.conftest import Deployment
from tests.merchant import (
    PROVIDERS,
    SBC,
    SERIAL_NUMBER,
    SESSION_TOKEN,
    Provider,
    check_document,
    initiate_document,
    sign,
    with_member,
)
from tests.transports import Answer, Transport


def opened(transport: Transport, provider: Provider = SBC, **named: Any) -> tuple[str, dict[str, Any]]:
    access_token = transport.request_access_token()
    answer = transport.initiate(initiate_document(access_token, provider.currency, **named))
    assert answer.code == 0, answer
    return access_token, answer.body


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
def test_a_sale_runs_through_each_payment_gateway(transport: Transport, provider: Provider) -> None:
    access_token, session = opened(transport, provider)

    assert session.keys() == {"endpointId", "invoiceId", "session"}
    assert session["session"].keys() == {"nonce", "signature"}
    assert session["endpointId"] == provider.endpoint_id
    nonce, invoice_id = session["session"]["nonce"], session["invoiceId"]
    assert session["session"]["signature"] == sign(
        provider.control_key,
        access_token,
        SERIAL_NUMBER,
        provider.endpoint_id,
        nonce,
        invoice_id,
        "1042",
        provider.currency,
    )

    checked = transport.check(invoice_id, check_document(access_token, session))
    assert checked.code == 0
    assert checked.body == {
        "invoiceId": invoice_id,
        "session": {
            "checkSignature": sign(provider.control_key, SERIAL_NUMBER, nonce, provider.endpoint_id, invoice_id),
            "nonce": nonce,
            "token": SESSION_TOKEN,
        },
        "transaction": {"currency": provider.currency},
    }


def test_identifiers_have_the_forms_that_leave_a_signature_one_reading(transport: Transport) -> None:
    access_token, session = opened(transport)

    assert re.fullmatch(r"[0-9a-f]{64}", access_token)
    assert re.fullmatch(r"[a-f][0-9a-f]{63}", session["session"]["nonce"])
    assert UUID(session["invoiceId"]).version == 7
    assert session["invoiceId"][-1] in "abcdef"


def test_no_two_sessions_share_an_identifier(transport: Transport) -> None:
    sessions = [opened(transport)[1] for _ in range(20)]

    assert len({session["invoiceId"] for session in sessions}) == 20
    assert len({session["session"]["nonce"] for session in sessions}) == 20


def test_the_required_members_alone_are_enough(transport: Transport) -> None:
    document = initiate_document(transport.request_access_token())
    for path in ("consumer.device.imei", "consumer.ipAddresses", "location"):
        document = with_member(document, path, ...)

    assert transport.initiate(document).code == 0


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("consumer.device.serialNumber", "x"),
        ("consumer.device.serialNumber", "Серийный-№7" * 4),
        ("consumer.device.imei", "1" * 14),
        ("consumer.device.imei", "1" * 16),
        ("location", {"lat": 90, "lng": 180}),
        ("location", {"lat": -90.0}),
        ("location", {}),
        ("transaction.amountCentis", 1),
        ("transaction.amountCentis", 9007199254740993),
        ("transaction.amountCentis", "100"),
    ],
)
def test_values_at_the_edge_of_their_bounds_are_taken(transport: Transport, path: str, value: object) -> None:
    document = with_member(initiate_document(transport.request_access_token()), path, value)

    answer = transport.initiate(document)

    assert answer.code == 0
    assert answer.body["session"]["signature"] == sign(
        SBC.control_key,
        document["session"]["accessToken"],
        document["consumer"]["device"]["serialNumber"],
        SBC.endpoint_id,
        answer.body["session"]["nonce"],
        answer.body["invoiceId"],
        str(document["transaction"]["amountCentis"]),
        SBC.currency,
    )


def test_the_same_check_again_gives_the_same_answer(transport: Transport) -> None:
    access_token, session = opened(transport)
    document = check_document(access_token, session)

    answers = [transport.check(session["invoiceId"], document) for _ in range(3)]

    assert answers[0].code == 0
    assert answers == [answers[0]] * 3


def test_a_signature_is_compared_whatever_its_case(transport: Transport) -> None:
    access_token, session = opened(transport)
    document = check_document(access_token, session)
    lower = with_member(document, "session.signature", session["session"]["signature"].lower())

    assert transport.check(session["invoiceId"], lower).code == 0


def test_of_session_tokens_that_race_exactly_one_wins(deployment: Deployment) -> None:
    access_token, session = opened(deployment.http)

    def check(number: int) -> Answer:
        document = check_document(access_token, session, token=f"session-token-{number:04}")
        return (deployment.http, deployment.grpc)[number % 2].check(session["invoiceId"], document)

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(check, range(32)))

    won = [number for number, answer in enumerate(answers) if answer.code == 0]
    assert len(won) == 1
    assert {answer.code for answer in answers} == {0, 1105}
    assert check(won[0]).code == 0


def test_both_wires_are_one_server(deployment: Deployment) -> None:
    access_token, session = opened(deployment.http)

    over_grpc = deployment.grpc.check(session["invoiceId"], check_document(access_token, session))
    over_http = deployment.http.check(session["invoiceId"], check_document(access_token, session))

    assert over_grpc.code == 0
    assert over_grpc.body == over_http.body


def test_members_that_the_documents_do_not_list_are_ignored_over_json(deployment: Deployment) -> None:
    document = initiate_document(deployment.http.request_access_token())
    for path in ("transaction.fromBin", "transaction.toBin", "consumer.name", "extra"):
        document = with_member(document, path, {"any": [1, None, "thing"]})

    assert deployment.http.initiate(document).code == 0
