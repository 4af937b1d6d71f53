"""Saved cards over both wires: whose they are, what is refused, and what is shown of them."""

import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from connectingparty.sale.v1.access_token_service_pb2 import IssueAccessTokenRequest, RevokeAccessTokenRequest
from connectingparty.sale.v1.card_service_pb2 import (
    Card,
    DeleteCardRequest,
    GetCardRequest,
    ListCardsRequest,
    PutCardRequest,
    SetCardEmailRequest,
)
from connectingparty.sale.v1.sale_service_pb2 import GetSaleRequest
from google.protobuf.duration_pb2 import Duration

from gateway.errors import KINDS
from tests.conftest import Deployment
from tests.merchant import (
    PROVIDERS,
    SBC,
    Provider,
    check_document,
    client_ids_document,
    initiate_document,
    new_token,
    notification_document,
    sign,
    with_card,
    with_member,
)
from tests.transports import Answer, Transport, error_answer

NUMBER = "4111111111111111"


@dataclass
class Consumer:
    """Somebody with a token, a device, a sale that was checked, and the card that was saved with it."""

    id: str
    access_token: str
    serial_number: str
    invoice_id: str
    session_token: str
    server_card_id: str
    client_card_id: str

    def check(self, transport: Transport, client_card_id: str | None = None, provider: Provider = SBC) -> Answer:
        """Open another sale and check it, paying with a card."""
        document = with_member(
            initiate_document(self.access_token, provider.currency),
            "consumer.device.serialNumber",
            self.serial_number,
        )
        opened = transport.initiate(document).body
        token = secrets.token_hex(16)
        check = check_document(self.access_token, opened, token, self.serial_number)
        return transport.check(opened["invoiceId"], with_card(check, client_card_id) if client_card_id else check)


def consumer_of(deployment: Deployment, transport: Transport, **named: Any) -> Consumer:
    id, serial_number, session_token = (secrets.token_hex(size) for size in (8, 12, 16))
    issued = deployment.grpc.access_tokens.IssueAccessToken(IssueAccessTokenRequest(consumer_id=id, **named))
    access_token, server_card_id = issued.access_token, str(secrets.randbits(62))
    document = with_member(initiate_document(access_token), "consumer.device.serialNumber", serial_number)
    opened = transport.initiate(document).body
    invoice_id = opened["invoiceId"]
    assert transport.check(invoice_id, check_document(access_token, opened, session_token, serial_number)).code == 0
    notification = notification_document(access_token, session_token, server_card_id, serial_number)
    assert transport.notify(notification).code == 0
    told = transport.client_ids(invoice_id, client_ids_document(access_token, serial_number))
    card_id = told.body["sourceCardRefId"]
    return Consumer(id, access_token, serial_number, invoice_id, session_token, server_card_id, card_id)


@pytest.fixture
def anna(deployment: Deployment, transport: Transport) -> Consumer:
    return consumer_of(deployment, transport)


@pytest.fixture
def bob(deployment: Deployment, transport: Transport) -> Consumer:
    return consumer_of(deployment, transport)


def refusal(method: Any, request: Any) -> Answer:
    with pytest.raises(grpc.RpcError) as refused:
        method(request, timeout=20)
    return error_answer(refused.value)


def card_data(number: str = NUMBER, **named: Any) -> PutCardRequest.Card:
    return PutCardRequest.Card(
        number=number,
        expiry=PutCardRequest.Expiry(month=12, year=2031),
        holder=PutCardRequest.Holder(first_name="Zinaida", last_name="Holdername"),
        **named,
    )


def test_each_pays_with_the_own_card(transport: Transport, anna: Consumer, bob: Consumer) -> None:
    for consumer in (anna, bob):
        answer = consumer.check(transport, consumer.client_card_id)
        assert answer.body["sourceOfFunds"] == {"reference": {"serverCardId": consumer.server_card_id}}


def test_nobody_pays_with_a_card_that_is_not_theirs_and_nothing_tells_why(
    deployment: Deployment, transport: Transport, anna: Consumer, bob: Consumer
) -> None:
    deployment.grpc.cards.DeleteCard(DeleteCardRequest(consumer_id=bob.id, client_card_id=bob.client_card_id))
    other = consumer_of(deployment, transport)

    refusals = [
        anna.check(transport, other.client_card_id),  # another's
        bob.check(transport, anna.client_card_id),
        bob.check(transport, bob.client_card_id),  # deleted
        anna.check(transport, "01a1fc77-45c6-732f-a34e-daf9b7e8bb4c"),  # unknown
        anna.check(transport, anna.server_card_id),
        anna.check(transport, anna.client_card_id.upper()),
    ]

    assert {answer.code for answer in refusals} == {1106}
    assert {answer.message for answer in refusals} == {KINDS[1106].message}
    assert anna.check(transport, anna.client_card_id).code == 0


def test_every_mixture_of_two_consumers_is_refused_alike(transport: Transport, anna: Consumer, bob: Consumer) -> None:
    for mine, other in ((anna, bob), (bob, anna)):
        tokens, serials = (mine.access_token, other.access_token), (mine.serial_number, other.serial_number)
        for access_token in tokens:
            for serial_number in serials:
                if (access_token, serial_number) == (mine.access_token, mine.serial_number):
                    continue
                asked = transport.client_ids(mine.invoice_id, client_ids_document(access_token, serial_number))
                notified = transport.notify(
                    notification_document(access_token, mine.session_token, "666", serial_number)
                )
                assert [asked.code, notified.code] == [1102, 1102]
                assert asked.message == notified.message
                assert "invoiceId" not in notified.body
    assert anna.check(transport, anna.client_card_id).body["sourceOfFunds"]["reference"]["serverCardId"] != "666"


def test_an_access_token_that_nobody_issued_gets_no_card_of_a_sale(transport: Transport, anna: Consumer) -> None:
    answer = transport.client_ids(anna.invoice_id, client_ids_document(new_token(), anna.serial_number))

    assert answer.code == 1102


def test_an_unknown_session_token_is_of_no_invoice(transport: Transport, anna: Consumer) -> None:
    answer = transport.notify(notification_document(anna.access_token, "x" * 16, "1", anna.serial_number))

    assert answer.code == 1104
    assert "invoiceId" not in answer.body


def test_an_unknown_invoice_has_no_card(transport: Transport, anna: Consumer) -> None:
    document = client_ids_document(anna.access_token, anna.serial_number)

    assert transport.client_ids("no-such-invoice", document).code == 1104


def test_a_revoked_token_gets_no_card_but_its_sale_is_still_notified(
    deployment: Deployment, transport: Transport, anna: Consumer
) -> None:
    deployment.grpc.access_tokens.RevokeAccessToken(RevokeAccessTokenRequest(access_token=anna.access_token))
    document = client_ids_document(anna.access_token, anna.serial_number)
    notification = notification_document(anna.access_token, anna.session_token, "1", anna.serial_number)

    assert transport.client_ids(anna.invoice_id, document).code == 1101
    assert transport.notify(notification).code == 0


def test_a_sale_without_a_saved_card_has_no_client_card_id(transport: Transport, anna: Consumer) -> None:
    opened = anna.check(transport).body

    answer = transport.client_ids(opened["invoiceId"], client_ids_document(anna.access_token, anna.serial_number))

    assert answer.code == 1106
    assert answer.message == "No card is saved with this sale."


def test_the_same_notification_again_gives_the_same_answer_and_one_card(
    deployment: Deployment, transport: Transport, anna: Consumer
) -> None:
    document = notification_document(anna.access_token, anna.session_token, anna.server_card_id, anna.serial_number)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda number: transport.notify(document), range(16)))

    assert answers[0].code == 0
    assert answers == answers[:1] * 16
    assert len(deployment.grpc.cards.ListCards(ListCardsRequest(consumer_id=anna.id)).cards) == 1


def test_a_renewed_card_is_a_new_one_and_the_old_one_stays_usable(
    deployment: Deployment, transport: Transport, anna: Consumer
) -> None:
    renewed = notification_document(anna.access_token, anna.session_token, "88000002", anna.serial_number)
    assert transport.notify(renewed).code == 0
    told = transport.client_ids(anna.invoice_id, client_ids_document(anna.access_token, anna.serial_number))

    new_id = told.body["sourceCardRefId"]
    assert new_id != anna.client_card_id
    for card_id, server_card_id in ((new_id, "88000002"), (anna.client_card_id, anna.server_card_id)):
        answer = anna.check(transport, card_id)
        assert answer.body["sourceOfFunds"]["reference"]["serverCardId"] == server_card_id
    deployment.grpc.cards.DeleteCard(DeleteCardRequest(consumer_id=anna.id, client_card_id=anna.client_card_id))
    assert anna.check(transport, anna.client_card_id).code == 1106
    assert anna.check(transport, new_id).code == 0


@pytest.mark.parametrize("path", ["sourceCard", "sourceCard.reference", "sourceCard.reference.serverCardId"])
def test_a_notification_without_a_server_card_id_is_acknowledged_and_maps_nothing(
    deployment: Deployment, transport: Transport, anna: Consumer, path: str
) -> None:
    document = notification_document(anna.access_token, anna.session_token, "1", anna.serial_number)

    assert transport.notify(with_member(document, path, ...)).code == 0
    assert len(deployment.grpc.cards.ListCards(ListCardsRequest(consumer_id=anna.id)).cards) == 1


NOTIFICATION_FAULTS = [
    ("consumer.device.serialNumber", ...),
    ("consumer.device.serialNumber", "x" * 51),
    ("session.accessToken", ...),
    ("session.accessToken", "x" * 31),
    ("session.token", ...),
    ("session.token", "x" * 15),
    ("session.token", "x" * 37),
    ("session.token", "x" * 16 + "\0"),
    ("sourceCard.bin", -1),
    ("sourceCard.bin", 100_000_000),
    ("sourceCard.reference.serverCardId", ""),
    ("sourceCard.reference.serverCardId", "x" * 65),
]


@pytest.mark.parametrize(("path", "value"), NOTIFICATION_FAULTS)
def test_a_notification_names_a_faulty_field_by_its_path(transport: Transport, path: str, value: object) -> None:
    answer = transport.notify(with_member(notification_document(new_token()), path, value))

    assert answer.code == 1001
    assert answer.message.startswith(f"{path} ")
    assert ";" not in answer.message


@pytest.mark.parametrize("path", ["consumer.device.serialNumber", "session.accessToken"])
def test_asking_for_a_card_names_a_faulty_field_by_its_path(transport: Transport, path: str) -> None:
    answer = transport.client_ids("invoice", with_member(client_ids_document(new_token()), path, ...))

    assert answer.code == 1001
    assert answer.message.startswith(f"{path} ")


def test_a_card_of_one_payment_gateway_is_none_at_another(transport: Transport, anna: Consumer) -> None:
    assert anna.check(transport, anna.client_card_id, PROVIDERS[1]).code == 1106


def test_without_a_consumer_the_device_is_the_owner(deployment: Deployment, transport: Transport) -> None:
    def sale(serial_number: str, card_id: str | None = None) -> Answer:
        access_token = transport.request_access_token()
        document = with_member(initiate_document(access_token), "consumer.device.serialNumber", serial_number)
        opened = transport.initiate(document).body
        token = secrets.token_hex(16)
        check = check_document(access_token, opened, token, serial_number)
        answer = transport.check(opened["invoiceId"], with_card(check, card_id) if card_id else check)
        if card_id is None:
            assert transport.notify(notification_document(access_token, token, "99", serial_number)).code == 0
            return transport.client_ids(opened["invoiceId"], client_ids_document(access_token, serial_number))
        return answer

    mine, others = secrets.token_hex(10), secrets.token_hex(10)
    card_id = sale(mine).body["sourceCardRefId"]

    assert sale(mine, card_id).code == 0
    assert sale(others, card_id).code == 1106
    cards = deployment.grpc.cards.ListCards(ListCardsRequest(consumer_id=f"device:{mine}")).cards
    assert [card.client_card_id for card in cards] == [card_id]


def test_a_token_of_one_device_is_refused_on_another(deployment: Deployment, transport: Transport) -> None:
    request = IssueAccessTokenRequest(serial_number="R58M123ABC")
    bound = deployment.grpc.access_tokens.IssueAccessToken(request).access_token
    document = initiate_document(bound)

    assert transport.initiate(document).code == 0
    assert transport.initiate(with_member(document, "consumer.device.serialNumber", "R58M123ABD")).code == 1101


def test_a_token_that_has_expired_is_still_its_sales_when_the_card_is_notified(
    deployment: Deployment, transport: Transport
) -> None:
    ttl = Duration(seconds=1)
    consumer = consumer_of(deployment, transport, ttl=ttl)
    while transport.initiate(initiate_document(consumer.access_token)).code != 1101:
        pass
    notification = notification_document(
        consumer.access_token, consumer.session_token, "second", consumer.serial_number
    )

    assert transport.notify(notification).code == 0
    document = client_ids_document(consumer.access_token, consumer.serial_number)
    assert transport.client_ids(consumer.invoice_id, document).code == 1101


def test_a_card_from_the_vault_is_answered_instead_of_a_reference(
    deployment: Deployment, transport: Transport, anna: Consumer
) -> None:
    request = PutCardRequest(consumer_id=anna.id, card=card_data(), email="anna@example.com")
    card = deployment.grpc.cards.PutCard(request).card
    answer = anna.check(transport, card.client_card_id)

    assert answer.code == 0
    assert answer.body["sourceOfFunds"] == {
        "card": {
            "expiry": {"month": 12, "year": 2031},
            "holder": {"firstName": "Zinaida", "lastName": "Holdername"},
            "number": NUMBER,
        }
    }
    assert answer.body["consumer"] == {"email": "anna@example.com"}
    session = answer.body["session"]
    assert session["checkSignature"] == sign(
        SBC.control_key, anna.serial_number, session["nonce"], SBC.endpoint_id, answer.body["invoiceId"]
    )


def test_a_card_from_the_vault_serves_at_every_payment_gateway_but_no_other_consumer(
    deployment: Deployment, transport: Transport, anna: Consumer, bob: Consumer
) -> None:
    card = deployment.grpc.cards.PutCard(PutCardRequest(consumer_id=anna.id, card=card_data())).card

    for provider in PROVIDERS:
        assert anna.check(transport, card.client_card_id, provider).code == 0
    assert bob.check(transport, card.client_card_id).code == 1106


def test_other_rpcs_show_the_first_six_and_last_four_digits_only(deployment: Deployment, anna: Consumer) -> None:
    cards = deployment.grpc.cards
    put = cards.PutCard(PutCardRequest(consumer_id=anna.id, card=card_data())).card
    shown = [
        put,
        cards.GetCard(GetCardRequest(consumer_id=anna.id, client_card_id=put.client_card_id)).card,
        cards.ListCards(ListCardsRequest(consumer_id=anna.id)).cards[0],
        cards.SetCardEmail(
            SetCardEmailRequest(consumer_id=anna.id, client_card_id=put.client_card_id, email="a@example.com")
        ).card,
    ]

    for card in shown:
        assert (card.bin, card.last_four) == ("411111", "1111")
        text = str(card)
        assert NUMBER not in text
        assert "Holdername" not in text
        assert re.search(r"\b2031\b", text) is None  # ids are random, and can have these digits among others


def test_card_data_is_in_no_log(deployment: Deployment, transport: Transport, anna: Consumer) -> None:
    card = deployment.grpc.cards.PutCard(PutCardRequest(consumer_id=anna.id, card=card_data())).card
    assert anna.check(transport, card.client_card_id).code == 0
    refusal(deployment.grpc.cards.PutCard, PutCardRequest(consumer_id=anna.id, card=card_data("4111111111111112")))

    for program in deployment.programs:
        log = str(program.events())
        for secret in (NUMBER, "4111111111111112", "Holdername", anna.access_token, card.client_card_id):
            assert secret not in log


@pytest.mark.parametrize(
    ("number", "path"), [("4111111111111112", "card.number"), ("411111", "card.number"), ("x" * 16, "card.number")]
)
def test_what_is_no_card_number_is_refused_and_not_repeated(
    deployment: Deployment, anna: Consumer, number: str, path: str
) -> None:
    answer = refusal(deployment.grpc.cards.PutCard, PutCardRequest(consumer_id=anna.id, card=card_data(number)))

    assert answer.code == 1001
    assert answer.message.startswith(f"{path} ")
    assert number not in answer.message


def test_card_data_is_replaced_under_its_id(deployment: Deployment, transport: Transport, anna: Consumer) -> None:
    put = deployment.grpc.cards.PutCard
    first = put(PutCardRequest(consumer_id=anna.id, card=card_data(), email="a@example.com")).card
    renewed = card_data("5555555555554444")
    second = put(PutCardRequest(consumer_id=anna.id, client_card_id=first.client_card_id, card=renewed)).card

    assert (second.client_card_id, second.last_four, second.email) == (first.client_card_id, "4444", "a@example.com")
    answer = anna.check(transport, first.client_card_id)
    assert answer.body["sourceOfFunds"]["card"]["number"] == "5555555555554444"


def test_no_card_data_is_kept_for_a_device(deployment: Deployment) -> None:
    answer = refusal(deployment.grpc.cards.PutCard, PutCardRequest(consumer_id="device:R58M", card=card_data()))

    assert (answer.code, answer.message) == (1001, "consumerId must not begin with device:")


def test_a_check_that_is_repeated_with_another_card_is_refused(transport: Transport, anna: Consumer) -> None:
    document = with_member(initiate_document(anna.access_token), "consumer.device.serialNumber", anna.serial_number)
    renewed = notification_document(anna.access_token, anna.session_token, "88000002", anna.serial_number)
    assert transport.notify(renewed).code == 0
    told = transport.client_ids(anna.invoice_id, client_ids_document(anna.access_token, anna.serial_number))
    opened = transport.initiate(document).body
    check = check_document(anna.access_token, opened, secrets.token_hex(16), anna.serial_number)

    first = transport.check(opened["invoiceId"], with_card(check, anna.client_card_id))
    assert first.code == 0
    assert transport.check(opened["invoiceId"], with_card(check, told.body["sourceCardRefId"])).code == 1105
    assert transport.check(opened["invoiceId"], check).code == 1105
    assert transport.check(opened["invoiceId"], with_card(check, anna.client_card_id)) == first


def test_a_check_is_repeated_as_it_was_after_its_card_was_renewed(transport: Transport, anna: Consumer) -> None:
    document = with_member(initiate_document(anna.access_token), "consumer.device.serialNumber", anna.serial_number)
    opened = transport.initiate(document).body
    token = secrets.token_hex(16)
    check = with_card(check_document(anna.access_token, opened, token, anna.serial_number), anna.client_card_id)
    first = transport.check(opened["invoiceId"], check)
    assert transport.notify(notification_document(anna.access_token, token, "99000003", anna.serial_number)).code == 0

    assert transport.check(opened["invoiceId"], check) == first
    told = transport.client_ids(opened["invoiceId"], client_ids_document(anna.access_token, anna.serial_number))
    assert told.body["sourceCardRefId"] != anna.client_card_id


def test_a_deleted_card_is_not_brought_back_by_the_notification_of_a_later_sale(
    deployment: Deployment, transport: Transport, anna: Consumer
) -> None:
    later = anna.check(transport).body
    notification = notification_document(
        anna.access_token, later["session"]["token"], anna.server_card_id, anna.serial_number
    )
    assert transport.notify(notification).code == 0
    named = {"consumer_id": anna.id, "client_card_id": anna.client_card_id}
    deployment.grpc.cards.DeleteCard(DeleteCardRequest(**named))

    assert transport.notify(notification).code == 0
    assert not deployment.grpc.cards.ListCards(ListCardsRequest(consumer_id=anna.id)).cards


def test_cards_are_managed_by_their_own_consumer_only(
    deployment: Deployment, transport: Transport, anna: Consumer, bob: Consumer
) -> None:
    cards = deployment.grpc.cards
    vaulted = cards.PutCard(PutCardRequest(consumer_id=bob.id, card=card_data())).card.client_card_id
    refused = []
    for client_card_id in (bob.client_card_id, vaulted, "unknown"):
        named = {"consumer_id": anna.id, "client_card_id": client_card_id}
        refused += [
            refusal(cards.GetCard, GetCardRequest(**named)),
            refusal(cards.DeleteCard, DeleteCardRequest(**named)),
            refusal(cards.SetCardEmail, SetCardEmailRequest(**named, email="a@example.com")),
            refusal(cards.PutCard, PutCardRequest(**named, card=card_data())),
        ]

    assert {answer.code for answer in refused} == {1106}
    assert bob.check(transport, bob.client_card_id).code == 0
    assert "consumer" not in bob.check(transport, vaulted).body


def test_a_reference_can_not_be_given_card_data(deployment: Deployment, anna: Consumer) -> None:
    request = PutCardRequest(consumer_id=anna.id, client_card_id=anna.client_card_id, card=card_data())

    assert refusal(deployment.grpc.cards.PutCard, request).code == 1106


def test_an_email_is_set_and_removed(deployment: Deployment, transport: Transport, anna: Consumer) -> None:
    named = {"consumer_id": anna.id, "client_card_id": anna.client_card_id}

    deployment.grpc.cards.SetCardEmail(SetCardEmailRequest(**named, email="b@example.com"))
    assert anna.check(transport, anna.client_card_id).body["consumer"] == {"email": "b@example.com"}
    deployment.grpc.cards.SetCardEmail(SetCardEmailRequest(**named))
    assert "consumer" not in anna.check(transport, anna.client_card_id).body
    assert refusal(deployment.grpc.cards.SetCardEmail, SetCardEmailRequest(**named, email="no email")).code == 1001


def test_a_deleted_card_is_nowhere_any_more_and_its_sale_stays(
    deployment: Deployment, transport: Transport, anna: Consumer
) -> None:
    named = {"consumer_id": anna.id, "client_card_id": anna.client_card_id}
    deployment.grpc.cards.DeleteCard(DeleteCardRequest(**named))

    assert refusal(deployment.grpc.cards.GetCard, GetCardRequest(**named)).code == 1106
    assert refusal(deployment.grpc.cards.DeleteCard, DeleteCardRequest(**named)).code == 1106
    assert not deployment.grpc.cards.ListCards(ListCardsRequest(consumer_id=anna.id)).cards
    document = client_ids_document(anna.access_token, anna.serial_number)
    assert transport.client_ids(anna.invoice_id, document).code == 1106
    sale = deployment.grpc.sales.GetSale(GetSaleRequest(invoice_id=anna.invoice_id)).sale
    assert sale.client_card_id == anna.client_card_id
    # The payment gateway sends its notification again: the consumer has deleted the card all the same.
    notification = notification_document(anna.access_token, anna.session_token, anna.server_card_id, anna.serial_number)
    assert transport.notify(notification).code == 0
    assert not deployment.grpc.cards.ListCards(ListCardsRequest(consumer_id=anna.id)).cards


def test_cards_are_listed_in_pages(deployment: Deployment, anna: Consumer, bob: Consumer) -> None:
    for _ in range(4):
        deployment.grpc.cards.PutCard(PutCardRequest(consumer_id=anna.id, card=card_data()))
    listed: list[Card] = []
    token = ""
    while True:
        page = deployment.grpc.cards.ListCards(ListCardsRequest(consumer_id=anna.id, page_size=2, page_token=token))
        assert len(page.cards) <= 2
        listed += page.cards
        token = page.next_page_token
        if not token:
            break

    assert len({card.client_card_id for card in listed}) == len(listed) == 5
    assert listed[-1].client_card_id == anna.client_card_id
    assert {card.consumer_id for card in listed} == {anna.id}
    first = deployment.grpc.cards.ListCards(ListCardsRequest(consumer_id=anna.id, page_size=2))
    other = ListCardsRequest(consumer_id=bob.id, page_token=first.next_page_token)
    assert refusal(deployment.grpc.cards.ListCards, other).code == 1001
