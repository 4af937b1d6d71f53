"""The flow of the contract from first step to last, black box, and what the merchant's own systems see of it."""

from connectingparty.sale.v1.access_token_service_pb2 import IssueAccessTokenRequest
from connectingparty.sale.v1.card_service_pb2 import ListCardsRequest
from connectingparty.sale.v1.sale_pb2 import SaleState
from connectingparty.sale.v1.sale_service_pb2 import GetSaleRequest

from tests.conftest import Deployment
from tests.merchant import (
    SBC,
    SERIAL_NUMBER,
    callback_parameters,
    check_document,
    client_ids_document,
    initiate_document,
    notification_document,
    sign,
    with_card,
)
from tests.transports import Transport

EMAIL = "anna@example.com"
CONSUMER = "anna-of-the-whole-sale"


def test_a_card_is_charged_saved_and_charged_again(transport: Transport, deployment: Deployment) -> None:
    # 1: the merchant's login gives the app a token.
    consumer_id = f"{CONSUMER}-{type(transport).__name__}"
    request = IssueAccessTokenRequest(consumer_id=consumer_id, email=EMAIL)
    access_token = deployment.grpc.access_tokens.IssueAccessToken(request, timeout=20).access_token

    # 2 to 4: the app initiates, the payment gateway checks.
    first = transport.initiate(initiate_document(access_token)).body
    invoice_id, nonce = first["invoiceId"], first["session"]["nonce"]
    checked = transport.check(invoice_id, check_document(access_token, first))
    assert checked.code == 0
    assert "sourceOfFunds" not in checked.body
    assert "consumer" not in checked.body

    # 6: the payment gateway tells the id that it gave the card.
    notification = notification_document(access_token)
    acknowledged = transport.notify(notification)
    assert acknowledged.code == 0
    assert acknowledged.body == {
        "invoiceId": invoice_id,
        "session": {
            "checkSignature": sign(SBC.control_key, nonce, SBC.endpoint_id, invoice_id),
            "nonce": nonce,
            "token": notification["session"]["token"],
        },
    }

    # 7: it tells how the sale ended.
    assert transport.callback(callback_parameters(invoice_id)).code == 0
    stored = deployment.grpc.sales.GetSale(GetSaleRequest(invoice_id=invoice_id), timeout=20)
    assert stored.sale.state == SaleState.SALE_STATE_APPROVED
    assert (stored.sale.orderid, stored.sale.amount_differs) == ("5624444", False)
    assert [(report.type, report.status, report.amount) for report in stored.status_reports] == [
        ("sale", "approved", "10.42")
    ]

    # 8: the app learns the id of the saved card, and pays with it.
    told = transport.client_ids(invoice_id, client_ids_document(access_token))
    assert told.body.keys() == {"sourceCardRefId"}
    client_card_id = told.body["sourceCardRefId"]
    again = transport.initiate(initiate_document(access_token)).body
    repeated = transport.check(again["invoiceId"], with_card(check_document(access_token, again), client_card_id))
    assert repeated.code == 0
    assert repeated.body == {
        "consumer": {"email": EMAIL},
        "invoiceId": again["invoiceId"],
        "session": {
            "checkSignature": sign(
                SBC.control_key,
                SERIAL_NUMBER,
                again["session"]["nonce"],
                SBC.endpoint_id,
                again["invoiceId"],
                "77000001",
            ),
            "nonce": again["session"]["nonce"],
            "token": checked.body["session"]["token"],
        },
        "sourceOfFunds": {"reference": {"serverCardId": "77000001"}},
        "transaction": {"currency": SBC.currency},
    }
    (card,) = deployment.grpc.cards.ListCards(ListCardsRequest(consumer_id=consumer_id), timeout=20).cards
    assert (card.client_card_id, card.server_card_id, card.bin, card.email, card.invoice_id) == (
        client_card_id,
        "77000001",
        "444455",
        EMAIL,
        invoice_id,
    )
    assert card.unique_reference_card_id == 2**53 + 1
