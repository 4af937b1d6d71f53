"""The card mapping notification, and the sales that are paid with the card that it told of."""

from typing import NamedTuple

from gateway.conformance.answers import confirmed
from gateway.conformance.bounds import refuses
from gateway.conformance.check_sale import require_same, require_types
from gateway.conformance.documents import (
    ABSENT,
    Checked,
    Sale,
    check_document,
    client_ids_document,
    member_of,
    new_serial_number,
    new_server_card_id,
    new_session_token,
    notification_document,
    with_member,
)
from gateway.conformance.exchanges import Exchange
from gateway.conformance.faults import Fault, NotTested, all_hold, untested
from gateway.conformance.requirements import FIELD, Subject
from gateway.conformance.signatures import require_check_signature, require_notification_signature
from gateway.conformance.trade import Trade

SUBJECT = Subject("cards", "Card mapping", FIELD)
_CLIENT_CARD = "sourceOfFunds.reference.clientCardId"
_SERVER_CARD = "sourceOfFunds.reference.serverCardId"
_SERIAL = "consumer.device.serialNumber"


class SavedCard(NamedTuple):
    """A card that a sale was paid with, and that the payment gateway told of."""

    checked: Checked
    server_card_id: str
    client_card_id: str


async def _saved(trade: Trade) -> SavedCard:
    checked, server_card_id = await trade.checked(), new_server_card_id()
    try:
        confirmed(await trade.notify(notification_document(checked, server_card_id)), "the notification to be taken")
        return SavedCard(checked, server_card_id, await _client_card_id(trade, checked.sale))
    except Fault as fault:
        raise untested("no card could be saved", fault) from None


async def _client_card_id(trade: Trade, sale: Sale) -> str:
    exchange = await trade.client_ids(sale, client_ids_document(sale))
    card_id = confirmed(exchange, "HTTP 200 with sourceCardRefId").get("sourceCardRefId")
    if not (isinstance(card_id, str) and 1 <= len(card_id) <= 128):
        raise Fault("sourceCardRefId as a string of 1-128 characters", exchange.told(), exchange)
    return card_id


async def _pay(trade: Trade, card: SavedCard) -> Checked:
    """Check another sale of the consumer that is paid with the saved card."""
    sale = await trade.opened(serial_number=card.checked.sale.serial_number)
    document = with_member(check_document(sale), _CLIENT_CARD, card.client_card_id)
    exchange = await trade.check(sale, document)
    answer = confirmed(exchange, "a check with the clientCardId of a saved card to be confirmed")
    return Checked(sale, document["session"]["token"], exchange, answer)


@SUBJECT.must(
    "notification",
    "A notification is answered by invoiceId, session.checkSignature, session.nonce and session.token of the "
    "sale with its session.token.",
)
async def notification(trade: Trade) -> None:
    """Tell of a card."""
    checked = await trade.checked()
    exchange = await trade.notify(notification_document(checked, new_server_card_id()))
    answer = confirmed(exchange, "HTTP 200 with invoiceId and session")
    sale = checked.sale
    for path, value in {
        "invoiceId": sale.invoice_id,
        "session.nonce": sale.nonce,
        "session.token": checked.token,
    }.items():
        if member_of(answer, path) != value:
            raise Fault(f"{path} to be {value}", exchange.told(), exchange)
    signature = member_of(answer, "session.checkSignature")
    if not isinstance(signature, str):
        raise Fault("session.checkSignature as a string", exchange.told(), exchange)


@SUBJECT.must(
    "notification-signature",
    "session.checkSignature of a notification is the HMAC-SHA1 of nonce, endpointId and invoiceId under the "
    "control key.",
    needs_key=True,
)
async def notification_signature(trade: Trade) -> None:
    """Compute it again."""
    checked = await trade.checked()
    exchange = await trade.notify(notification_document(checked, new_server_card_id()))
    got = member_of(exchange.document or {}, "session.checkSignature")
    if exchange.error is not None or got is None:
        raise NotTested(f"the notification was not taken: {exchange.told()}", exchange)
    require_notification_signature(trade, checked.sale, exchange, str(got))


@SUBJECT.must("notification-repeat", "The same notification again gives the same answer, and the same card.")
async def notification_repeat(trade: Trade) -> None:
    """Tell of a card three times."""
    checked = await trade.checked()
    document = notification_document(checked, new_server_card_id())
    first = await trade.notify(document)
    if first.error is not None:
        raise NotTested(f"the notification was not taken: {first.told()}", first)
    card_id = await _client_card_id(trade, checked.sale)
    for _ in range(2):
        require_same(first, await trade.notify(document))
    if (again := await _client_card_id(trade, checked.sale)) != card_id:
        raise Fault(f"the same sourceCardRefId as before, {card_id}", again, first)


@SUBJECT.must(
    "notification-optional", "A notification without sourceCard, or without any member of it, is answered all the same."
)
async def notification_optional(trade: Trade) -> None:
    """Leave the optional members out."""

    async def case(path: str) -> None:
        checked = await trade.checked()
        document = with_member(notification_document(checked, new_server_card_id()), path, ABSENT)
        confirmed(await trade.notify(document), f"a notification without {path} to be taken")

    paths = ("sourceCard", "sourceCard.bin", "sourceCard.reference", "sourceCard.reference.serverCardId")
    await all_hold(*(case(path) for path in (*paths, "sourceCard.reference.uniqueReferenceCardId")))


@SUBJECT.should("notification-integers", "Integers of a notification are taken as numbers and as strings of digits.")
async def notification_integers(trade: Trade) -> None:
    """Send the 64-bit one both ways."""

    async def case(path: str, value: object) -> None:
        checked = await trade.checked()
        document = with_member(notification_document(checked, new_server_card_id()), path, value)
        confirmed(await trade.notify(document), f"{path} {value!r} to be taken")

    path = "sourceCard.reference.uniqueReferenceCardId"
    await all_hold(case(path, 2**63 - 1), case(path, str(2**63 - 1)), case("sourceCard.bin", "444455"))


@SUBJECT.must(
    "notification-refusals",
    "A notification with an unknown session.token, another access token or from another device is refused.",
    waits=True,
)
async def notification_refusals(trade: Trade) -> None:
    """Change each."""
    checked = await trade.checked()
    document = notification_document(checked, new_server_card_id())
    changes = {"session.token": new_session_token(), "session.accessToken": "0f" * 32, _SERIAL: new_serial_number()}

    async def case(path: str, value: str) -> None:
        exchange = await trade.notify(with_member(document, path, value))
        trade.refused(exchange, f"a notification with another {path} to be refused")

    await all_hold(*(case(path, value) for path, value in changes.items()))


@SUBJECT.should("notification-bounds", "session.token has 16-36 characters and serverCardId 1-64.", FIELD, waits=True)
async def notification_bounds(trade: Trade) -> None:
    """Try what is out of them."""
    checked = await trade.checked()

    async def draft() -> dict[str, object]:
        return notification_document(checked, new_server_card_id())

    await all_hold(
        refuses(trade, draft, trade.notify, "session.token", ("a" * 15, "a" * 37, None, 5)),
        refuses(trade, draft, trade.notify, "sourceCard.reference.serverCardId", ("", "1" * 65, [])),
    )


@SUBJECT.must("client-ids", "get-client-ids gives the sourceCardRefId of the card that was saved with a sale.")
async def client_ids(trade: Trade) -> None:
    """Ask for it."""
    checked = await trade.checked()
    told = await trade.notify(notification_document(checked, new_server_card_id()))
    if told.error is not None:
        raise NotTested(f"the notification was not taken: {told.told()}", told)
    await _client_card_id(trade, checked.sale)


@SUBJECT.must(
    "client-ids-refusals",
    "get-client-ids tells nobody but the sale's own consumer, with its access token and from its device.",
    waits=True,
)
async def client_ids_refusals(trade: Trade) -> None:
    """Ask as somebody else."""
    sale = (await _saved(trade)).checked.sale
    document = client_ids_document(sale)
    changes = {"session.accessToken": await trade.another_access_token(), _SERIAL: new_serial_number()}

    async def case(path: str, value: str) -> None:
        exchange = await trade.client_ids(sale, with_member(document, path, value))
        trade.refused(exchange, f"get-client-ids with another {path} to be refused")

    await all_hold(*(case(path, value) for path, value in changes.items()))


@SUBJECT.must(
    "second-sale",
    "The check of a later sale with the clientCardId is answered by the card's serverCardId, as a string.",
)
async def second_sale(trade: Trade) -> None:
    """Pay with a saved card."""
    card = await _saved(trade)
    paid = await _pay(trade, card)
    require_types(paid)
    funds = paid.answer.get("sourceOfFunds")
    if isinstance(funds, dict) and "card" in funds and "reference" not in funds:
        raise NotTested("the server answers with the card itself, which it keeps")
    if member_of(paid.answer, _SERVER_CARD) != card.server_card_id or funds != {
        "reference": {"serverCardId": card.server_card_id}
    }:
        raise Fault(f"{_SERVER_CARD} {card.server_card_id}, and no card beside it", paid.exchange.told(), paid.exchange)


@SUBJECT.must(
    "second-sale-signature", "session.checkSignature of such a check covers the serverCardId too.", needs_key=True
)
async def second_sale_signature(trade: Trade) -> None:
    """Compute it again."""
    try:
        paid = await _pay(trade, await _saved(trade))
    except Fault as fault:
        raise untested("no sale could be paid with a saved card", fault) from None
    require_check_signature(trade, paid, str(member_of(paid.answer, _SERVER_CARD) or ""))


@SUBJECT.must("second-sale-repeat", "The same check with a clientCardId again gives the same answer.")
async def second_sale_repeat(trade: Trade) -> None:
    """Send it twice."""
    card = await _saved(trade)
    try:
        paid = await _pay(trade, card)
    except Fault as fault:
        raise untested("no sale could be paid with a saved card", fault) from None
    again = with_member(check_document(paid.sale, paid.token), _CLIENT_CARD, card.client_card_id)
    require_same(paid.exchange, await trade.check(paid.sale, again))


@SUBJECT.must("another-consumer", "Another consumer can't pay with the card: its clientCardId is refused.")
async def another_consumer(trade: Trade) -> None:
    """Take a card from one consumer to the other."""
    card = await _saved(trade)
    sale = await trade.opened(access_token=await trade.another_access_token())
    await _refuses_card(trade, sale, card.client_card_id, "the clientCardId of another consumer")


@SUBJECT.must("unknown-card", "A clientCardId that nobody has is refused, and so is a serverCardId in its place.")
async def unknown_card(trade: Trade) -> None:
    """Pay with what is none."""
    card = await _saved(trade)
    sale = await trade.opened(serial_number=card.checked.sale.serial_number)
    for card_id in (new_session_token(), card.server_card_id, "x" * 128):
        await _refuses_card(trade, sale, card_id, "an unknown clientCardId")


async def _refuses_card(trade: Trade, sale: Sale, client_card_id: str, told: str) -> Exchange:
    document = with_member(check_document(sale), _CLIENT_CARD, client_card_id)
    return trade.refused(await trade.check(sale, document), f"{told} to be refused")


@SUBJECT.should("after-callback", "A notification that comes after the callback is taken.", FIELD, needs_key=True)
async def after_callback(trade: Trade) -> None:
    """Tell of the card of a sale that was approved."""
    checked = await trade.checked()
    await trade.call_back(trade.callback(checked.sale))
    exchange = await trade.notify(notification_document(checked, new_server_card_id()))
    confirmed(exchange, "the notification of an approved sale to be taken")
