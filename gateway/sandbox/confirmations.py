"""Whether what the sandbox is shown is signed: by the app's document, and by the Connecting Party's answers."""

from collections.abc import Sequence

from gateway.parties.exchanges import Document, NotUnderstood
from gateway.parties.payment_gateway import CheckedSession
from gateway.parties.signatures import check_signature, notification_signature, same_signature, session_signature
from gateway.sandbox.cards import Card, card_of_number, card_of_server_id
from gateway.sandbox.requests import PerformSale


def is_signed(keys: Sequence[str], endpoint_id: str, invoice_id: str, wish: PerformSale) -> bool:
    """Tell whether the Connecting Party's server signed what the app sent.

    Args:
        keys: of the endpoint.
        endpoint_id: of the sale.
        invoice_id: of the sale.
        wish: what the app sent, with amount and currency: the signature covers them.
    """
    expected = (
        session_signature(
            key,
            access_token=wish.access_token,
            serial_number=wish.serial_number,
            endpoint_id=endpoint_id,
            nonce=wish.nonce,
            invoice_id=invoice_id,
            amount_centis=wish.amount_centis,
            currency=wish.currency,
        )
        for key in keys
    )
    return any(same_signature(wish.signature, signature) for signature in expected)


def require_confirmed(
    answer: Document, session: CheckedSession, keys: Sequence[str], endpoint_id: str, invoice_id: str
) -> None:
    """Make sure that a check was answered as the contract has it.

    Args:
        answer: of check sale.
        session: that was to be confirmed.
        keys: of the endpoint.
        endpoint_id: of the sale.
        invoice_id: of the sale.

    Raises:
        NotUnderstood: it was not.
    """
    _require_same(answer, session)
    server_card_id = _text_at(answer, "sourceOfFunds", "reference", "serverCardId")
    expected = (
        check_signature(
            key,
            serial_number=session.serial_number,
            nonce=session.nonce,
            endpoint_id=endpoint_id,
            invoice_id=invoice_id,
            server_card_id=server_card_id,
        )
        for key in keys
    )
    if not any(same_signature(_text(answer, "checkSignature"), signature) for signature in expected):
        raise NotUnderstood(
            "session.checkSignature does not fit: it covers serialNumber, nonce, endpointId, invoiceId and the"
            " serverCardId of the answer if there is one, under the endpoint's control key"
        )


def require_noted(
    answer: Document, session: CheckedSession, keys: Sequence[str], endpoint_id: str, invoice_id: str
) -> None:
    """Make sure that a card mapping notification was answered as the contract has it.

    Args:
        answer: of the notification.
        session: of the sale.
        keys: of the endpoint.
        endpoint_id: of the sale.
        invoice_id: of the sale.

    Raises:
        NotUnderstood: it was not.
    """
    _require_same(answer, session)
    expected = (
        notification_signature(key, nonce=session.nonce, endpoint_id=endpoint_id, invoice_id=invoice_id) for key in keys
    )
    if not any(same_signature(_text(answer, "checkSignature"), signature) for signature in expected):
        raise NotUnderstood(
            "session.checkSignature does not fit: it covers nonce, endpointId and invoiceId, under the endpoint's"
            " control key"
        )


def saved_card(answer: Document) -> Card:
    """Return the card that the answer of a check names.

    Args:
        answer: of check sale with a saved card.

    Raises:
        NotUnderstood: it names none.
    """
    if server_card_id := _text_at(answer, "sourceOfFunds", "reference", "serverCardId"):
        return card_of_server_id(server_card_id)
    try:
        return card_of_number(_text_at(answer, "sourceOfFunds", "card", "number"))
    except ValueError:
        raise NotUnderstood(
            "the answer has neither sourceOfFunds.reference.serverCardId nor sourceOfFunds.card.number for the saved"
            " card"
        ) from None


def _require_same(answer: Document, session: CheckedSession) -> None:
    for name, value in (("nonce", session.nonce), ("token", session.token)):
        if _text(answer, name) != value:
            raise NotUnderstood(f"session.{name} is not what was sent")


def _text(answer: Document, name: str) -> str:
    if not (found := _text_at(answer, "session", name)):
        raise NotUnderstood(f"the answer has no session.{name}")
    return found


def _text_at(answer: Document, *path: str) -> str:
    """Return what stands there; empty if that is no text."""
    found: object = answer
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""
