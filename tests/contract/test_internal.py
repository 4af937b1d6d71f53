"""What the merchant's own systems can ask and tell over gRPC."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from connectingparty.sale.v1.access_token_service_pb2 import (
    IssueAccessTokenRequest,
    RevokeConsumerTokensRequest,
)
from connectingparty.sale.v1.sale_pb2 import Sale, SaleState
from connectingparty.sale.v1.sale_service_pb2 import (
    GetSaleRequest,
    ListSalesRequest,
    ReportSaleStatusRequest,
    VerifyRandomSumRequest,
)
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from tests.conftest import Deployment
from tests.contract.test_callback import checked, state, stored
from tests.contract.test_cards import refusal
from tests.contract.test_sale import opened
from tests.merchant import (
    PROVIDERS,
    RANDOM_SUM,
    SBC,
    SERIAL_NUMBER,
    callback_parameters,
    check_document,
    initiate_document,
)
from tests.transports import Transport


def listed(deployment: Deployment, **named: Any) -> Iterator[Sale]:
    token = ""
    while True:
        page = deployment.grpc.sales.ListSales(ListSalesRequest(page_token=token, **named), timeout=20)
        assert len(page.sales) <= (named.get("page_size") or 50)
        yield from page.sales
        token = page.next_page_token
        if not token:
            return


def consumer_token(deployment: Deployment, **named: Any) -> tuple[str, str]:
    consumer_id = secrets.token_hex(8)
    request = IssueAccessTokenRequest(consumer_id=consumer_id, **named)
    return consumer_id, deployment.grpc.access_tokens.IssueAccessToken(request, timeout=20).access_token


def test_a_sale_is_shown_as_it_was_sent_without_what_authenticates_it(
    deployment: Deployment, transport: Transport
) -> None:
    consumer_id, access_token = consumer_token(deployment, email="anna@example.com")
    session = transport.initiate(initiate_document(access_token)).body
    before = datetime.now(UTC)
    assert transport.check(session["invoiceId"], check_document(access_token, session)).code == 0

    sale = stored(deployment, session["invoiceId"]).sale

    assert (sale.invoice_id, sale.endpoint_id, sale.consumer_id) == (
        session["invoiceId"],
        SBC.endpoint_id,
        consumer_id,
    )
    assert (sale.serial_number, sale.imei, list(sale.ip_addresses)) == (
        SERIAL_NUMBER,
        "356938035643809",
        ["192.0.2.17", "10.0.0.5"],
    )
    assert (sale.location.lat, sale.location.lng, sale.amount_centis, sale.currency) == (0.0, -180.0, 1042, "EUR")
    assert sale.state == SaleState.SALE_STATE_CHECKED
    assert sale.expire_time.ToDatetime() - sale.initiate_time.ToDatetime() == timedelta(minutes=30)
    assert before <= sale.check_time.ToDatetime(UTC) == sale.update_time.ToDatetime(UTC)
    for absent in ("client_card_id", "orderid"):
        assert not sale.HasField(absent)
    text = str(sale)
    assert access_token not in text
    assert session["session"]["nonce"] not in text
    assert session["session"]["signature"] not in text


def test_an_unknown_sale_is_not_found(deployment: Deployment) -> None:
    assert refusal(deployment.grpc.sales.GetSale, GetSaleRequest(invoice_id="x")).code == 1104
    assert refusal(deployment.grpc.sales.GetSale, GetSaleRequest()).code == 1001


def test_sales_are_listed_by_what_holds_of_them(deployment: Deployment) -> None:
    consumer_id, access_token = consumer_token(deployment)
    sales = [
        deployment.grpc.initiate(initiate_document(access_token, PROVIDERS[number % 2].currency)).body["invoiceId"]
        for number in range(7)
    ]
    deployment.grpc.callback(callback_parameters(sales[2]))
    middle = stored(deployment, sales[3]).sale.initiate_time

    def ids(**named: Any) -> list[int]:
        return [sales.index(sale.invoice_id) for sale in listed(deployment, consumer_id=consumer_id, **named)]

    assert ids() == ids(page_size=1) == ids(page_size=3) == [6, 5, 4, 3, 2, 1, 0]
    assert ids(endpoint_id=PROVIDERS[1].endpoint_id) == [5, 3, 1]
    assert ids(state=SaleState.SALE_STATE_APPROVED) == [2]
    assert ids(state=SaleState.SALE_STATE_INITIATED, endpoint_id=SBC.endpoint_id) == [6, 4, 0]
    assert ids(start_time=middle) == [6, 5, 4, 3]
    assert ids(end_time=middle) == [2, 1, 0]
    assert ids(client_card_id="none") == []
    assert next(listed(deployment, start_time=middle)).invoice_id >= sales[6]


def test_a_page_token_is_of_its_own_list_only(deployment: Deployment) -> None:
    consumer_id, access_token = consumer_token(deployment)
    for _ in range(3):
        deployment.grpc.initiate(initiate_document(access_token))
    page = deployment.grpc.sales.ListSales(ListSalesRequest(consumer_id=consumer_id, page_size=1), timeout=20)

    for request in (
        ListSalesRequest(page_token=page.next_page_token),
        ListSalesRequest(consumer_id="other", page_token=page.next_page_token),
        ListSalesRequest(consumer_id=consumer_id, page_token=page.next_page_token[:-4]),
        ListSalesRequest(consumer_id=consumer_id, page_token="garbage"),
        ListSalesRequest(consumer_id=consumer_id, page_token="Ж"),
    ):
        answer = refusal(deployment.grpc.sales.ListSales, request)
        assert answer.code == 1001
        assert answer.message.startswith("pageToken ")


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (ListSalesRequest(page_size=-1), "pageSize"),
        (ListSalesRequest(state=99), "state"),  # type: ignore[arg-type]
        (ListSalesRequest(start_time=Timestamp(seconds=-1)), "startTime"),
        (ListSalesRequest(end_time=Timestamp(seconds=2**60)), "endTime"),
        (ListSalesRequest(consumer_id=""), "consumerId"),
        (ListSalesRequest(start_time=Timestamp(seconds=5, nanos=10**9)), "startTime"),
        (ListSalesRequest(end_time=Timestamp(seconds=5, nanos=-1)), "endTime"),
    ],
)
def test_a_list_names_a_faulty_field(deployment: Deployment, request_: ListSalesRequest, path: str) -> None:
    answer = refusal(deployment.grpc.sales.ListSales, request_)

    assert answer.code == 1001
    assert answer.message.startswith(f"{path} ")


def test_a_page_is_never_longer_than_500(deployment: Deployment) -> None:
    assert len(deployment.grpc.sales.ListSales(ListSalesRequest(page_size=2**31 - 1), timeout=20).sales) <= 500


def test_a_result_that_was_learnt_elsewhere_moves_the_sale(deployment: Deployment, transport: Transport) -> None:
    invoice_id = checked(transport)
    report = deployment.grpc.sales.ReportSaleStatus
    approved = ReportSaleStatusRequest(
        invoice_id=invoice_id, state=SaleState.SALE_STATE_APPROVED, orderid="77", amount_centis=1043
    )

    sale = report(approved, timeout=20).sale
    assert (sale.state, sale.orderid, sale.amount_differs) == (SaleState.SALE_STATE_APPROVED, "77", True)
    assert report(approved, timeout=20).sale == sale
    assert [each.amount for each in stored(deployment, invoice_id).status_reports] == ["10.43"]
    # The callback that comes after all says nothing new.
    assert transport.callback(callback_parameters(invoice_id)).code == 0
    assert state(deployment, invoice_id) == "APPROVED"


def test_a_move_that_is_not_legal_is_refused_and_changes_nothing(deployment: Deployment, transport: Transport) -> None:
    invoice_id = checked(transport)
    transport.callback(callback_parameters(invoice_id, "declined"))
    before = stored(deployment, invoice_id)

    for to in ("APPROVED", "FILTERED", "FAILED", "REVERSED", "CHARGED_BACK"):
        request = ReportSaleStatusRequest(invoice_id=invoice_id, state=SaleState.Value(f"SALE_STATE_{to}"))
        answer = refusal(deployment.grpc.sales.ReportSaleStatus, request)
        assert answer.code == 1105
        assert answer.message == "The sale is DECLINED; it can't become that."
    assert stored(deployment, invoice_id) == before
    # One of where it is already is kept, and changes nothing of the sale.
    again = ReportSaleStatusRequest(invoice_id=invoice_id, state=SaleState.SALE_STATE_DECLINED)
    assert deployment.grpc.sales.ReportSaleStatus(again, timeout=20).sale == before.sale
    assert len(stored(deployment, invoice_id).status_reports) == 2


@pytest.mark.parametrize("name", ["UNSPECIFIED", "INITIATED", "CHECKED", "EXPIRED"])
def test_only_a_result_can_be_reported(deployment: Deployment, name: str) -> None:
    request = ReportSaleStatusRequest(invoice_id="x", state=SaleState.Value(f"SALE_STATE_{name}"))

    answer = refusal(deployment.grpc.sales.ReportSaleStatus, request)

    assert (answer.code, answer.message.split()[0]) == (1001, "state")


def test_the_tokens_of_a_consumer_are_revoked(deployment: Deployment, transport: Transport) -> None:
    consumer_id, access_token = consumer_token(deployment)
    _, other = consumer_token(deployment)

    request = RevokeConsumerTokensRequest(consumer_id=consumer_id)
    assert deployment.grpc.access_tokens.RevokeConsumerTokens(request, timeout=20).revoked_count == 1
    assert transport.initiate(initiate_document(access_token)).code == 1101
    assert transport.initiate(initiate_document(other)).code == 0


@pytest.mark.parametrize(
    ("named", "path"),
    [
        ({"consumer_id": "device:R58M"}, "consumerId"),
        ({"consumer_id": ""}, "consumerId"),
        ({"consumer_id": "x" * 65}, "consumerId"),
        ({"email": "nobody"}, "email"),
        ({"serial_number": "x" * 51}, "serialNumber"),
        ({"endpoint_id": "99999"}, "endpointId"),
        ({"ttl": Duration()}, "ttl"),
        ({"ttl": Duration(nanos=999)}, "ttl"),
        ({"ttl": Duration(seconds=5, nanos=10**9)}, "ttl"),
        ({"ttl": Duration(seconds=367 * 86400)}, "ttl"),
    ],
)
def test_a_token_is_not_issued_for_what_can_not_be(deployment: Deployment, named: dict[str, Any], path: str) -> None:
    answer = refusal(deployment.grpc.access_tokens.IssueAccessToken, IssueAccessTokenRequest(**named))

    assert answer.code == 1001
    assert answer.message.startswith(f"{path} ")


def random_sum_of(transport: Transport) -> tuple[str, int]:
    access_token, session = opened(transport, RANDOM_SUM)
    answer = transport.check(session["invoiceId"], check_document(access_token, session))
    assert answer.body["transaction"].keys() == {"currency", "randomSumCentis"}
    return session["invoiceId"], answer.body["transaction"]["randomSumCentis"]


def test_a_random_sum_is_drawn_for_each_sale_and_told_in_check(transport: Transport) -> None:
    drawn = [random_sum_of(transport)[1] for _ in range(12)]

    assert all(100 <= centis <= 999 for centis in drawn)
    assert len(set(drawn)) > 1


def test_what_the_consumer_typed_is_compared_three_times_at_most(deployment: Deployment, transport: Transport) -> None:
    invoice_id, centis = random_sum_of(transport)

    def verify(answer: int) -> tuple[bool, int]:
        request = VerifyRandomSumRequest(invoice_id=invoice_id, random_sum_centis=answer)
        response = deployment.grpc.sales.VerifyRandomSum(request, timeout=20)
        return response.verified, response.remaining_attempts

    assert verify(centis) == (True, 3)
    assert verify(centis + 1) == (False, 2)
    assert verify(centis) == (True, 2)
    assert [verify(0), verify(2**63 - 1)] == [(False, 1), (False, 0)]
    assert verify(centis) == (False, 0)
    assert "random_sum" not in str(stored(deployment, invoice_id))


def test_answers_that_race_do_not_get_more_attempts(deployment: Deployment) -> None:
    invoice_id, centis = random_sum_of(deployment.grpc)

    def verify(number: int) -> bool:
        request = VerifyRandomSumRequest(invoice_id=invoice_id, random_sum_centis=centis + number)
        return deployment.grpc.sales.VerifyRandomSum(request, timeout=20).verified

    with ThreadPoolExecutor(8) as threads:
        wrong = list(threads.map(verify, range(1, 30)))

    assert not any(wrong)
    assert not verify(0)


def test_a_sale_without_a_random_sum_has_nothing_to_verify(deployment: Deployment) -> None:
    request = VerifyRandomSumRequest(invoice_id=checked(deployment.grpc), random_sum_centis=1)
    answer = refusal(deployment.grpc.sales.VerifyRandomSum, request)

    assert (answer.code, answer.message) == (1001, "invoiceId is of a sale without a random sum")
    unknown = VerifyRandomSumRequest(invoice_id="x", random_sum_centis=1)
    assert refusal(deployment.grpc.sales.VerifyRandomSum, unknown).code == 1104
