"""What the app and the payment gateway send about a sale, and what is read of the answers."""

import json
import secrets
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

from gateway.conformance.answers import confirmed
from gateway.conformance.exchanges import Exchange
from gateway.conformance.faults import Fault

ABSENT = ...
"""In the place of a value: the member is left out."""


class Sale(NamedTuple):
    """A sale that was opened."""

    opening: Exchange
    access_token: str
    serial_number: str
    amount_centis: int
    currency: str
    endpoint_id: str
    invoice_id: str
    nonce: str
    signature: str


class Checked(NamedTuple):
    """A sale that the payment gateway has checked."""

    sale: Sale
    token: str
    """The session token of the check."""
    exchange: Exchange
    answer: dict[str, Any]


def sale_of(document: Mapping[str, Any], exchange: Exchange) -> Sale:
    """Return the sale that an answer opened.

    Args:
        document: that was sent.
        exchange: with it.

    Raises:
        Fault: it opened none.
    """
    answer = confirmed(exchange, "HTTP 200 with endpointId, invoiceId, session.nonce and session.signature")
    paths = ("endpointId", "invoiceId", "session.nonce", "session.signature")
    members = [member_of(answer, path) for path in paths]
    if not all(isinstance(member, str) and member for member in members):
        raise Fault("endpointId, invoiceId, session.nonce and session.signature as strings", exchange.told(), exchange)
    transaction = document["transaction"]
    return Sale(
        exchange,
        document["session"]["accessToken"],
        document["consumer"]["device"]["serialNumber"],
        int(transaction["amountCentis"]),
        transaction["currency"],
        *(str(member) for member in members),
    )


def check_document(sale: Sale, token: str | None = None) -> dict[str, Any]:
    """Return what the payment gateway sends to check a sale, with nothing optional.

    Args:
        sale: that was opened.
        token: of the session; a new one where there is none.
    """
    return {
        "consumer": {"device": {"serialNumber": sale.serial_number}},
        "session": {
            "accessToken": sale.access_token,
            "nonce": sale.nonce,
            "signature": sale.signature,
            "token": token or new_session_token(),
        },
    }


def notification_document(checked: Checked, server_card_id: str) -> dict[str, Any]:
    """Return what the payment gateway sends when it has given the card of a sale an id."""
    return {
        "consumer": {"device": {"serialNumber": checked.sale.serial_number}},
        "session": {"accessToken": checked.sale.access_token, "token": checked.token},
        "sourceCard": {
            "bin": 444455,
            "reference": {"serverCardId": server_card_id, "uniqueReferenceCardId": 2**53 + 1},
        },
    }


def client_ids_document(sale: Sale) -> dict[str, Any]:
    """Return what the app sends to learn which card was saved with a sale."""
    return {
        "consumer": {"device": {"serialNumber": sale.serial_number}},
        "session": {"accessToken": sale.access_token},
    }


def with_member(document: Mapping[str, Any], path: str, value: object) -> dict[str, Any]:
    """Return a copy of a document with one member set, or left out.

    Args:
        document: that is copied.
        path: names of the member and of those that it is in, with dots between.
        value: of the member; `ABSENT` leaves it out.
    """
    name, _, inner = path.partition(".")
    if inner:
        return {**document, name: with_member(document.get(name, {}), inner, value)}
    if value is ABSENT:
        return {key: member for key, member in document.items() if key != name}
    return {**document, name: value}


def member_of(document: Mapping[str, Any], path: str) -> Any:
    """Return a member of a document by its path; None where it is not there."""
    value: Any = document
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def encoded(document: object) -> bytes:
    """Return a document as it is sent; what is bytes already stays as it is."""
    if isinstance(document, bytes):
        return document
    text = json.dumps(document, ensure_ascii=False)
    try:
        return text.encode()
    except UnicodeEncodeError:  # a lone surrogate can be sent as an escape only
        return json.dumps(document).encode()


def new_serial_number() -> str:
    """Return the serial number of a device that there is not."""
    return f"VERIFY{secrets.token_hex(6).upper()}"


def new_session_token() -> str:
    """Return a session token as the payment gateway makes them: 36 characters."""
    return str(uuid.uuid4())


def new_server_card_id() -> str:
    """Return an id as the payment gateway gives it to a card: the digits of a 64-bit integer."""
    return str(2**62 + secrets.randbelow(2**62))
