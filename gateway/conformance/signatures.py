"""Whether a signature is right, which common mistake makes it wrong, and whether the kit itself can tell."""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from gateway.conformance.documents import Checked, Sale, member_of
from gateway.conformance.exchanges import Exchange
from gateway.conformance.faults import Fault, UnexplainedSignature
from gateway.conformance.requirements import Subject
from gateway.conformance.trade import Trade
from gateway.parties import signatures

VECTORS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("vectors.json").read_text())
"""The worked examples of the contract."""

_UNEXPLAINED = "another control key, or other parts in another order"

SUBJECT = Subject("kit", "This kit itself", "contract, Signatures: the worked examples")


@SUBJECT.must("signatures", "The kit computes every signature and checksum of the worked examples as they are there.")
async def kit_signatures(_: Trade) -> None:
    """Meet the worked examples, without a request."""
    for vector in VECTORS:
        for name, expected, computed in _worked(vector):
            if computed != expected:
                raise Fault(f"{name} {expected} of endpoint {vector['endpointId']}", computed)


def _worked(vector: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    key, serial = vector["controlKey"], vector["serialNumber"]
    ids = {"nonce": vector["nonce"], "endpoint_id": vector["endpointId"], "invoice_id": vector["invoiceId"]}
    session = signatures.session_signature(
        key,
        access_token=vector["accessToken"],
        serial_number=serial,
        amount_centis=vector["amountCentis"],
        currency=vector["currency"],
        **ids,
    )
    card = vector["serverCardId"] or ""
    yield "signature", vector["signature"], session
    check = signatures.check_signature(key, serial_number=serial, server_card_id=card, **ids)
    yield "checkSignature", vector["checkSignature"], check
    notification = signatures.notification_signature(key, **ids)
    yield "checkSignature of the notification", vector["notificationCheckSignature"], notification
    sent = dict(vector["callback"])
    expected = sent.pop("control")
    yield "control", expected, signatures.callback_control(key, **sent)


def require_session_signature(trade: Trade, sale: Sale) -> None:
    """Require `session.signature` of a sale to be the one of the control key.

    Raises:
        Fault: it is another one.
    """
    expected = signatures.session_signature(
        trade.control_key,
        access_token=sale.access_token,
        serial_number=sale.serial_number,
        endpoint_id=sale.endpoint_id,
        nonce=sale.nonce,
        invoice_id=sale.invoice_id,
        amount_centis=sale.amount_centis,
        currency=sale.currency,
    )
    parts = [
        sale.access_token,
        sale.serial_number,
        sale.endpoint_id,
        sale.nonce,
        sale.invoice_id,
        str(sale.amount_centis),
        sale.currency,
    ]
    _require(trade, "session.signature", expected, sale.signature, parts, sale.opening, sale.endpoint_id)


def require_check_signature(trade: Trade, checked: Checked, server_card_id: str = "") -> None:
    """Require `session.checkSignature` of a check to be the one of the control key.

    Raises:
        Fault: it is another one.
    """
    sale = checked.sale
    expected = signatures.check_signature(
        trade.control_key,
        serial_number=sale.serial_number,
        nonce=sale.nonce,
        endpoint_id=sale.endpoint_id,
        invoice_id=sale.invoice_id,
        server_card_id=server_card_id,
    )
    parts = [sale.serial_number, sale.nonce, sale.endpoint_id, sale.invoice_id, server_card_id]
    got = str(member_of(checked.answer, "session.checkSignature"))
    _require(trade, "session.checkSignature", expected, got, parts, checked.exchange, sale.endpoint_id)


def require_notification_signature(trade: Trade, sale: Sale, exchange: Exchange, got: str) -> None:
    """Require `session.checkSignature` of a notification to be the one of the control key.

    Raises:
        Fault: it is another one.
    """
    ids = {"nonce": sale.nonce, "endpoint_id": sale.endpoint_id, "invoice_id": sale.invoice_id}
    expected = signatures.notification_signature(trade.control_key, **ids)
    _require(trade, "session.checkSignature", expected, got, list(ids.values()), exchange, sale.endpoint_id)


def _require(
    trade: Trade, name: str, expected: str, got: str, parts: Sequence[str], exchange: Exchange, endpoint_id: str
) -> None:
    if signatures.same_signature(expected, got):
        return
    mistake = likely_mistake(trade.control_key, parts, got)
    told = f"{name} {expected}, over {'|'.join(parts)}", f"{got} ({mistake})"
    if mistake == _UNEXPLAINED:
        raise UnexplainedSignature(*told, exchange, endpoint_id)
    raise Fault(*told, exchange)


def likely_mistake(control_key: str, parts: Sequence[str], got: str) -> str:
    """Return which of the common mistakes makes this signature of these parts.

    Args:
        control_key: as the provider writes it.
        parts: that should have been signed, in their order.
        got: the signature.
    """
    right = bytes.fromhex(control_key.replace("-", ""))
    message = "".join(parts)
    for mistake, made in _mistakes(control_key, right, parts, message):
        if signatures.same_signature(made, got):
            return mistake
    return _UNEXPLAINED


def _mistakes(key: str, right: bytes, parts: Sequence[str], message: str) -> Iterator[tuple[str, str]]:
    undashed = key.replace("-", "")
    for told, text in (("with its dashes", key), ("without its dashes", undashed), ("in lower case", undashed.lower())):
        yield f"the control key {told} is used as text; decode its hexadecimal digits", _hmac(text.encode(), message)
    yield (
        "SHA-1 of parts and key instead of HMAC",
        hashlib.sha1((message + key).encode(), usedforsecurity=False).hexdigest(),
    )
    yield "HMAC-SHA256 instead of HMAC-SHA1, cut", _hmac(right, message, "sha256")[:40]
    for told, change in _CHANGES:
        yield told, _hmac(right, change(list(parts)))
    for separator in "|:,;-_& \n":
        yield f"the parts are joined by {separator!r}; nothing separates them", _hmac(right, separator.join(parts))


def _in_major_units(parts: list[str]) -> str:
    return "".join(
        f"{int(part) / 100:.2f}" if index == len(parts) - 2 and part.isdecimal() else part
        for index, part in enumerate(parts)
    )


_CHANGES: tuple[tuple[str, Callable[[list[str]], str]], ...] = (
    ("the amount is signed in major units; sign it in centis", _in_major_units),
    ("the currency is signed in lower case", lambda parts: "".join([*parts[:-1], parts[-1].lower()])),
    ("the text is signed in lower case", lambda parts: "".join(parts).lower()),
    ("the last part is left out", lambda parts: "".join(parts[:-1])),
    ("the parts are signed in the reverse order", lambda parts: "".join(reversed(parts))),
    ("the parts are signed in the order of their values", lambda parts: "".join(sorted(parts))),
)


def _hmac(key: bytes, message: str, digest: str = "sha1") -> str:
    return hmac.digest(key, message.encode(), digest).hex()
