"""The final-status callback over both wires: what it moves, what it keeps, and what is refused."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest
from connectingparty.sale.v1.sale_pb2 import SaleState
from connectingparty.sale.v1.sale_service_pb2 import GetSaleRequest, GetSaleResponse

from tests.conftest import Deployment
from tests.contract.test_sale import opened
from tests.merchant import (
    PROVIDERS,
    SBC,
    Provider,
    callback_parameters,
    check_document,
    client_ids_document,
    notification_document,
)
from tests.transports import Answer, Transport, answer_of


def checked(transport: Transport, provider: Provider = SBC, **named: Any) -> str:
    access_token, session = opened(transport, provider, **named)
    assert transport.check(session["invoiceId"], check_document(access_token, session)).code == 0
    return str(session["invoiceId"])


def stored(deployment: Deployment, invoice_id: str) -> GetSaleResponse:
    return deployment.grpc.sales.GetSale(GetSaleRequest(invoice_id=invoice_id), timeout=20)


def state(deployment: Deployment, invoice_id: str) -> str:
    return SaleState.Name(stored(deployment, invoice_id).sale.state).removeprefix("SALE_STATE_")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("approved", "APPROVED"),
        ("declined", "DECLINED"),
        ("filtered", "FILTERED"),
        ("error", "FAILED"),
        ("unknown", "CHECKED"),
        ("processing", "CHECKED"),
        ("some-new-word", "CHECKED"),
        ("APPROVED", "CHECKED"),
    ],
)
def test_a_status_moves_the_sale_to_its_state(
    deployment: Deployment, transport: Transport, status: str, expected: str
) -> None:
    invoice_id = checked(transport)

    assert transport.callback(callback_parameters(invoice_id, status)).code == 0
    assert state(deployment, invoice_id) == expected
    assert [report.status for report in stored(deployment, invoice_id).status_reports] == [status]


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
def test_each_payment_gateway_signs_with_its_own_key(
    deployment: Deployment, transport: Transport, provider: Provider
) -> None:
    invoice_id = checked(transport, provider)

    for other in PROVIDERS:
        answer = transport.callback(callback_parameters(invoice_id, control_key=other.control_key))
        assert answer.code == (0 if other is provider else 1109)
    assert state(deployment, invoice_id) == "APPROVED"


@pytest.mark.parametrize(
    "change",
    [
        {"status": "declined"},
        {"orderid": "5624445"},
        {"control": "0" * 40},
        {"control": "x"},
        {"status": "approve", "orderid": "d5624444"},
        {"status": "approved5", "orderid": "624444"},
    ],
)
def test_a_wrong_checksum_changes_nothing(deployment: Deployment, transport: Transport, change: dict[str, str]) -> None:
    invoice_id = checked(transport)
    parameters = callback_parameters(invoice_id) | change
    # Characters that move between the neighbours status and orderid leave the checksum right: such a callback is kept,
    # but its status is no word that tells of a result.
    shifted = "orderid" in change and "status" in change

    assert transport.callback(parameters).code == (0 if shifted else 1109)
    assert state(deployment, invoice_id) == "CHECKED"
    assert bool(stored(deployment, invoice_id).status_reports) is shifted
    assert not stored(deployment, invoice_id).sale.HasField("orderid")


def test_the_checksum_of_another_sale_is_wrong(deployment: Deployment, transport: Transport) -> None:
    invoice_id, other = checked(transport), checked(transport)
    parameters = callback_parameters(invoice_id) | {"client_orderid": other}

    assert transport.callback(parameters).code == 1109
    assert state(deployment, other) == "CHECKED"


def test_the_key_counts_as_it_is_written_and_the_checksum_in_either_case(
    deployment: Deployment, transport: Transport
) -> None:
    invoice_id = checked(transport)

    for key in (SBC.control_key.replace("-", ""), SBC.control_key.lower()):
        assert transport.callback(callback_parameters(invoice_id, control_key=key)).code == 1109
    parameters = callback_parameters(invoice_id)
    assert transport.callback(parameters | {"control": parameters["control"].upper()}).code == 0
    assert state(deployment, invoice_id) == "APPROVED"


def test_an_unknown_invoice_is_not_found(transport: Transport) -> None:
    assert transport.callback(callback_parameters("01a1fc77-45c6-732f-a34e-daf9b7e8bb4c")).code == 1104


def test_a_callback_that_arrives_twice_changes_nothing(deployment: Deployment, transport: Transport) -> None:
    invoice_id = checked(transport)
    assert transport.callback(callback_parameters(invoice_id)).code == 0
    first = stored(deployment, invoice_id)

    again = callback_parameters(invoice_id, amount="99.99", descriptor="another")
    assert transport.callback(callback_parameters(invoice_id)).code == 0
    assert transport.callback(again).code == 0
    assert stored(deployment, invoice_id) == first


def test_callbacks_that_race_are_each_kept_once(deployment: Deployment) -> None:
    invoice_id = checked(deployment.http)

    def send(number: int) -> Answer:
        transport = (deployment.http, deployment.grpc)[number % 2]
        return transport.callback(callback_parameters(invoice_id, ("approved", "processing", "declined")[number % 3]))

    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(send, range(36)))

    assert {answer.code for answer in answers} == {0}
    assert len(stored(deployment, invoice_id).status_reports) == 3
    assert state(deployment, invoice_id) in {"APPROVED", "DECLINED"}


def test_a_late_processing_does_not_undo_a_final_status(deployment: Deployment, transport: Transport) -> None:
    invoice_id = checked(transport)
    for status in ("processing", "approved", "unknown", "declined", "error", "filtered"):
        assert transport.callback(callback_parameters(invoice_id, status)).code == 0

    assert state(deployment, invoice_id) == "APPROVED"
    assert len(stored(deployment, invoice_id).status_reports) == 6


def test_reversal_and_chargeback_move_an_approved_sale_on(deployment: Deployment, transport: Transport) -> None:
    invoice_id = checked(transport)
    seen = []
    for type in ("sale", "reversal", "chargeback"):
        assert transport.callback(callback_parameters(invoice_id, type=type)).code == 0
        seen.append(state(deployment, invoice_id))

    assert seen == ["APPROVED", "REVERSED", "CHARGED_BACK"]


def test_a_reversal_that_overtakes_the_approval_counts_when_that_arrives(
    deployment: Deployment, transport: Transport
) -> None:
    invoice_id = checked(transport)
    assert transport.callback(callback_parameters(invoice_id, type="reversal")).code == 0
    assert state(deployment, invoice_id) == "CHECKED"

    assert transport.callback(callback_parameters(invoice_id)).code == 0
    assert state(deployment, invoice_id) == "REVERSED"


@pytest.mark.parametrize(
    ("type", "status"),
    [("reversal", "declined"), ("chargeback", "processing"), ("capture", "approved"), ("refund", "approved")],
)
def test_what_reverses_nothing_is_kept_and_moves_nothing(
    deployment: Deployment, transport: Transport, type: str, status: str
) -> None:
    invoice_id = checked(transport)
    transport.callback(callback_parameters(invoice_id))

    assert transport.callback(callback_parameters(invoice_id, status, type=type)).code == 0
    assert state(deployment, invoice_id) == "APPROVED"
    assert len(stored(deployment, invoice_id).status_reports) == 2


@pytest.mark.parametrize("result", ["approved", "declined"])
def test_a_final_sale_can_not_be_checked(transport: Transport, result: str) -> None:
    access_token, session = opened(transport)
    document = check_document(access_token, session)
    assert transport.check(session["invoiceId"], document).code == 0
    transport.callback(callback_parameters(session["invoiceId"], result))

    assert transport.check(session["invoiceId"], document).code == 1105


def test_a_card_can_be_notified_after_the_final_status(transport: Transport) -> None:
    access_token, session = opened(transport)
    token = session["invoiceId"]  # 36 characters that no other sale has
    assert transport.check(session["invoiceId"], check_document(access_token, session, token)).code == 0
    transport.callback(callback_parameters(session["invoiceId"]))

    assert transport.notify(notification_document(access_token, token)).code == 0
    assert transport.client_ids(session["invoiceId"], client_ids_document(access_token)).code == 0


@pytest.mark.parametrize(
    ("centis", "amount", "differs"),
    [
        (1042, "10.42", False),
        (1042, "10.420", False),
        (1042, "010.42", False),
        (1042, "", False),
        (1042, "10.43", True),
        (1042, "1042", True),
        (1042, "10.4200000000000000000000000000000000000000000000000000000001", True),
        (1042, "1.042e1", True),
        (1042, "10,42", True),
        (1042, "-10.42", True),
        (1042, "NaN", True),
        (1042, "ten", True),
        (9_007_199_254_740_993, "90071992547409.93", False),
        (9_007_199_254_740_993, "90071992547409.92", True),
        (100, "1", False),
        (1, "0.01", False),
    ],
)
def test_an_amount_that_differs_is_kept_and_flagged(
    deployment: Deployment, transport: Transport, centis: int, amount: str, differs: bool
) -> None:
    invoice_id = checked(transport, amount_centis=centis)

    assert transport.callback(callback_parameters(invoice_id, amount=amount)).code == 0
    sale = stored(deployment, invoice_id)
    assert (state(deployment, invoice_id), sale.sale.amount_differs) == ("APPROVED", differs)
    assert (sale.status_reports[0].amount, sale.status_reports[0].amount_differs) == (amount, differs)


def test_a_partial_reversal_is_flagged(deployment: Deployment, transport: Transport) -> None:
    invoice_id = checked(transport)
    transport.callback(callback_parameters(invoice_id))
    transport.callback(callback_parameters(invoice_id, type="reversal", amount="5.00"))

    sale = stored(deployment, invoice_id)
    assert sale.sale.amount_differs
    assert [report.amount_differs for report in sale.status_reports] == [False, True]


def test_all_parameters_are_kept_but_the_checksum_is_not_shown(deployment: Deployment, transport: Transport) -> None:
    invoice_id = checked(transport)
    more = {"name": "Ж. O'Hara; DROP", "email": "a+b@example.com", "x" * 128: "", "a&b=c": "%00? \n", "bin": "444455"}
    parameters = callback_parameters(invoice_id) | more

    assert transport.callback(parameters).code == 0
    kept = stored(deployment, invoice_id).status_reports[0].parameters
    assert {pair.name: pair.value for pair in kept} == {
        name: value for name, value in parameters.items() if name != "control"
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", ""),
        ("status", "x" * 65),
        ("orderid", ""),
        ("orderid", "1" * 65),
        ("client_orderid", ""),
        ("client_orderid", "x" * 129),
        ("control", ""),
        ("type", "x" * 65),
        ("amount", "1" * 65),
        ("status", "approved\0"),
    ],
)
def test_a_callback_names_a_faulty_parameter(transport: Transport, name: str, value: str) -> None:
    answer = transport.callback(callback_parameters("invoice") | {name: value})

    assert answer.code == 1001
    assert answer.message.startswith(f"{name} ")


def test_a_callback_without_parameters_names_those_that_it_needs(transport: Transport) -> None:
    answer = transport.callback({})

    assert [fault.split()[0] for fault in answer.message.split("; ")] == [
        "status",
        "orderid",
        "client_orderid",
        "control",
    ]


def get(deployment: Deployment, query: str) -> Answer:
    return answer_of(deployment.http.client.get(f"/sale/callback?{query}"))


def query_of(parameters: dict[str, str]) -> str:
    return "&".join(f"{quote(name)}={quote(value)}" for name, value in parameters.items())


def test_a_parameter_that_is_there_twice_is_refused_over_http(deployment: Deployment) -> None:
    invoice_id = checked(deployment.http)
    query = query_of(callback_parameters(invoice_id))

    for name, value in (("status", "declined"), ("amount", "1"), ("control", "0" * 40)):
        answer = get(deployment, f"{query}&{name}={value}")
        assert (answer.code, answer.message) == (1001, f"{name} must be sent once")
    assert state(deployment, invoice_id) == "CHECKED"
    # The same again says nothing else, and one that nobody knows can be there as often as it likes.
    assert get(deployment, f"{query}&amount=10.42&status=approved&note=1&note=2").code == 0
    kept = stored(deployment, invoice_id).status_reports[0].parameters
    assert [pair.value for pair in kept if pair.name == "note"] == ["1", "2"]
    assert [pair.value for pair in kept if pair.name == "amount"] == ["10.42"]


@pytest.mark.parametrize(
    ("more", "name", "value"),
    [
        ("=x", "", "x"),
        ("note=a%00b", "note", "a\\x00b"),
        ("note=" + "x" * 9000, "note", "x" * 9000),
        ("x" * 9000 + "=1", "x" * 9000, "1"),
        ("note=" + "%FF" * 5000, "note", "\\xff" * 5000),
        ("note", "note", ""),
        ("note=%", "note", "%"),
    ],
)
def test_nothing_that_does_not_matter_keeps_a_callback_from_being_stored(
    deployment: Deployment, more: str, name: str, value: str
) -> None:
    invoice_id = checked(deployment.http)

    assert get(deployment, f"{query_of(callback_parameters(invoice_id))}&{more}").code == 0
    assert state(deployment, invoice_id) == "APPROVED"
    kept = stored(deployment, invoice_id).status_reports[0].parameters
    assert (name, value) in [(pair.name, pair.value) for pair in kept]


def test_a_callback_without_a_type_is_of_a_sale(deployment: Deployment, transport: Transport) -> None:
    parameters = callback_parameters(checked(transport))
    del parameters["type"]
    invoice_id = parameters["client_orderid"]
    assert transport.callback(parameters).code == 0
    assert state(deployment, invoice_id) == "APPROVED"
    assert transport.callback(parameters | {"type": ""}).code == 0
    assert len(stored(deployment, invoice_id).status_reports) == 1


def test_a_query_that_is_too_long_is_refused_over_http(deployment: Deployment) -> None:
    query = query_of(callback_parameters(checked(deployment.http)))

    assert get(deployment, f"{query}&note={'x' * 16384}").code == 1003


def test_bytes_that_are_no_utf_8_are_kept_as_escapes_over_http(deployment: Deployment) -> None:
    invoice_id = checked(deployment.http)

    assert get(deployment, f"{query_of(callback_parameters(invoice_id))}&name=%C6%E0%EB").code == 0
    kept = stored(deployment, invoice_id).status_reports[0].parameters
    assert [pair.value for pair in kept if pair.name == "name"] == ["\\xc6\\xe0\\xeb"]


def test_a_plus_is_a_space_over_http(deployment: Deployment) -> None:
    invoice_id = checked(deployment.http)

    assert get(deployment, f"{query_of(callback_parameters(invoice_id))}&name=Anna+Ivanova%2B").code == 0
    kept = stored(deployment, invoice_id).status_reports[0].parameters
    assert [pair.value for pair in kept if pair.name == "name"] == ["Anna Ivanova+"]


@pytest.mark.parametrize(("count", "code"), [(150, 0), (201, 1001), (1000, 1001)])
def test_there_are_only_so_many_parameters_over_http(deployment: Deployment, count: int, code: int) -> None:
    invoice_id = checked(deployment.http)

    answer = get(deployment, query_of(callback_parameters(invoice_id)) + "&x=1" * count)

    assert answer.code == code
    assert state(deployment, invoice_id) == ("CHECKED" if code else "APPROVED")
