"""What support asks first: what happened to this sale?"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from connectingparty.sale.v1.error_reason_pb2 import ErrorReason
from connectingparty.sale.v1.sale_pb2 import SaleState
from connectingparty.sale.v1.sale_service_pb2 import (
    GetSaleTimelineRequest,
    ReportSaleStatusRequest,
    SaleEvent,
    VerifyRandomSumRequest,
)
from connectingparty.sale.v1.sale_service_pb2_grpc import SaleServiceStub

from tests.conftest import Deployment
from tests.contract.test_cards import refusal
from tests.merchant import (
    RANDOM_SUM,
    callback_parameters,
    check_document,
    client_ids_document,
    initiate_document,
    new_token,
    notification_document,
    with_member,
    write_config,
)
from tests.running import running, service_arguments
from tests.transports import Transport

WAIT_SECONDS = 10.0


def timeline(sales: Any, invoice_id: str, requests: int) -> Sequence[SaleEvent]:
    """Return the life of a sale once so many requests are in it: they are written a moment later."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        events: Sequence[SaleEvent] = sales.GetSaleTimeline(
            GetSaleTimelineRequest(invoice_id=invoice_id), timeout=20
        ).events
        if sum(bool(event.caller) for event in events) >= requests or time.monotonic() > deadline:
            return events
        time.sleep(0.02)


def told(events: Sequence[SaleEvent]) -> list[tuple[str, int, list[str]]]:
    """Return what each event tells: the rpc, the code of its error and the states that the sale moved to."""
    return [
        (
            event.rpc.removeprefix("SaleService."),
            int(event.error_reason),
            [SaleState.Name(state).removeprefix("SALE_STATE_") for state in event.states],
        )
        for event in events
    ]


def test_every_request_of_a_sale_is_told_with_its_answer_and_its_move(
    transport: Transport, deployment: Deployment
) -> None:
    access_token, key = transport.request_access_token(), new_token()
    session = transport.initiate(initiate_document(access_token), key).body
    invoice_id, session_token = session["invoiceId"], new_token()[:32]
    check = check_document(access_token, session, session_token)
    transport.initiate(initiate_document(access_token), key)
    transport.check(invoice_id, with_member(check, "session.nonce", "f" * 64))
    transport.check(invoice_id, with_member(check, "session.token", "short"))
    transport.check(invoice_id, check)
    transport.check(invoice_id, check)
    transport.check(invoice_id, with_member(check, "session.token", "another-session-token"))
    transport.notify(notification_document(access_token, session_token))
    transport.notify(notification_document(new_token(), session_token))
    transport.callback(callback_parameters(invoice_id) | {"control": "0" * 40})
    transport.callback(callback_parameters(invoice_id, amount="99.00"))
    transport.callback(callback_parameters(invoice_id, amount="99.00"))
    transport.client_ids(invoice_id, client_ids_document(access_token))
    transport.client_ids(invoice_id, client_ids_document(new_token()))

    events = timeline(deployment.grpc.sales, invoice_id, 14)

    assert told(events) == [
        ("InitiateSale", 0, ["INITIATED"]),
        ("InitiateSale", 0, []),
        ("CheckSale", 1102, []),
        ("CheckSale", 1001, []),
        ("CheckSale", 0, ["CHECKED"]),
        ("CheckSale", 0, []),
        ("CheckSale", 1105, []),
        ("NotifyCardMapping", 0, []),
        ("NotifyCardMapping", 1102, []),
        ("ReceiveCallback", 1109, []),
        ("ReceiveCallback", 0, ["APPROVED"]),
        ("ReceiveCallback", 0, []),
        ("GetClientIds", 0, []),
        ("GetClientIds", 1102, []),
    ]
    assert {event.address for event in events} == {"127.0.0.1"}
    assert len({event.caller for event in events}) == 1
    assert all(event.request_id and event.duration.ToMicroseconds() > 0 for event in events)
    assert "session.token" in events[3].error_message
    assert events[9].error_message.startswith("The control checksum is wrong")
    report = events[10].status_report
    assert (report.type, report.status, report.amount, report.amount_differs) == ("sale", "approved", "99.00", True)
    assert not any(event.HasField("status_report") for event in (*events[:10], *events[11:]))
    text = str(events)
    for secret in (
        access_token,
        session["session"]["nonce"],
        session["session"]["signature"],
        "f" * 64,
        key,
        session_token,
    ):
        assert secret not in text


def test_what_the_merchants_own_systems_do_to_a_sale_is_told_and_what_they_read_is_not(deployment: Deployment) -> None:
    access_token, sales = deployment.http.request_access_token(), deployment.grpc.sales
    invoice_id = deployment.http.initiate(initiate_document(access_token, RANDOM_SUM.currency)).body["invoiceId"]
    sales.VerifyRandomSum(VerifyRandomSumRequest(invoice_id=invoice_id, random_sum_centis=0), timeout=20)
    approved = ReportSaleStatusRequest(invoice_id=invoice_id, state=SaleState.SALE_STATE_APPROVED, orderid="7")
    sales.ReportSaleStatus(approved, timeout=20)
    declined = ReportSaleStatusRequest(invoice_id=invoice_id, state=SaleState.SALE_STATE_DECLINED)
    assert refusal(sales.ReportSaleStatus, declined).code == 1105

    events = timeline(sales, invoice_id, 4)

    assert told(timeline(sales, invoice_id, 4)) == [
        ("InitiateSale", 0, ["INITIATED"]),
        ("VerifyRandomSum", 0, []),
        ("ReportSaleStatus", 0, ["APPROVED"]),
        ("ReportSaleStatus", 1105, []),
    ]
    assert [event.caller for event in events[1:]] == ["merchant"] * 3
    assert events[2].status_report.orderid == "7"
    assert refusal(sales.GetSaleTimeline, GetSaleTimelineRequest(invoice_id="no such sale")).code == 1104


def test_what_only_claims_to_be_an_invoice_id_spoils_nothing(deployment: Deployment) -> None:
    access_token = deployment.grpc.request_access_token()
    session = deployment.grpc.initiate(initiate_document(access_token)).body
    check = check_document(access_token, session)

    for strange in ("x\0y", "x" * 300, "00000000-0000-7000-8000-00000000000a", "Ж"):
        assert deployment.grpc.check(strange, check).code in {1001, 1104}
    deployment.grpc.check(session["invoiceId"], check)

    events = timeline(deployment.grpc.sales, session["invoiceId"], 2)
    assert told(events) == [("InitiateSale", 0, ["INITIATED"]), ("CheckSale", 0, ["CHECKED"])]
    assert all(event.caller == "merchant" for event in events)


def test_a_killed_server_takes_no_move_with_it(tmp_path: Path) -> None:
    arguments = service_arguments(write_config(tmp_path / "sale.toml"), f"sqlite:///{tmp_path}/sale.db")
    with running(arguments, tmp_path / "log") as program, program.client() as client:
        access_token = client.get("/auth/request-access-token").json()["session"]["accessToken"]
        session = client.post("/sale/initiate-sale", json=initiate_document(access_token)).json()
        invoice_id = session["invoiceId"]
        check = check_document(access_token, session)
        assert client.post(f"/sale/{invoice_id}/check", json=check).status_code == 200
        program.kill()

    with running(arguments, tmp_path / "log") as program, program.channel() as channel:
        events = timeline(SaleServiceStub(channel), invoice_id, 0)

    assert told(events) == [("InitiateSale", 0, ["INITIATED"]), ("CheckSale", 0, ["CHECKED"])]


def test_a_server_that_stops_keeps_what_was_not_written_yet(tmp_path: Path) -> None:
    arguments = service_arguments(write_config(tmp_path / "sale.toml"), f"sqlite:///{tmp_path}/sale.db")
    with running(arguments, tmp_path / "log") as program, program.client() as client:
        access_token = client.get("/auth/request-access-token").json()["session"]["accessToken"]
        headers = {"X-Request-Id": "the-apps-own-id"}
        session = client.post("/sale/initiate-sale", json=initiate_document(access_token), headers=headers).json()
        assert program.stop() == 0

    with running(arguments, tmp_path / "log") as program, program.channel() as channel:
        (event,) = timeline(SaleServiceStub(channel), session["invoiceId"], 0)

    assert event.error_reason == ErrorReason.ERROR_REASON_UNSPECIFIED
    assert (event.caller, event.request_id) == ("gateway in process", "the-apps-own-id")
