"""Check sale: what is confirmed, and what the confirmation says."""

import unicodedata
from collections.abc import Iterator
from typing import Any

from gateway.conformance.answers import confirmed
from gateway.conformance.documents import Checked, check_document, member_of, new_session_token, with_member
from gateway.conformance.exchanges import Exchange
from gateway.conformance.faults import Fault, all_hold
from gateway.conformance.initiate_sale import CYRILLIC
from gateway.conformance.requirements import CHECK_DOCUMENT, FIELD, Subject
from gateway.conformance.signatures import require_check_signature
from gateway.conformance.trade import Trade

SUBJECT = Subject("check", "Check sale", CHECK_DOCUMENT)
_EXPECTED = "HTTP 200 with invoiceId, session.checkSignature, session.nonce and session.token"


@SUBJECT.must(
    "confirms",
    "The values of the session that was opened are confirmed: invoiceId, session.checkSignature, "
    "session.nonce, session.token, all as strings, all as they were sent.",
)
async def confirms(trade: Trade) -> None:
    """Check a sale."""
    sale = await trade.opened()
    document = check_document(sale)
    exchange = await trade.check(sale, document)
    answer = confirmed(exchange, _EXPECTED)
    expected = {
        "invoiceId": sale.invoice_id,
        "session.nonce": sale.nonce,
        "session.token": document["session"]["token"],
    }
    for path, value in expected.items():
        if member_of(answer, path) != value:
            raise Fault(f"{path} to be {value}", exchange.told(), exchange)
    if not isinstance(member_of(answer, "session.checkSignature"), str):
        raise Fault("session.checkSignature as a string", exchange.told(), exchange)


@SUBJECT.must(
    "signature",
    "session.checkSignature is the HMAC-SHA1 of serialNumber, nonce, endpointId and invoiceId under the control key.",
    needs_key=True,
)
async def signature(trade: Trade) -> None:
    """Compute it again."""
    require_check_signature(trade, await trade.checked())


@SUBJECT.must(
    "signature-utf-8", "session.checkSignature covers the UTF-8 bytes of a serial number in Cyrillic.", needs_key=True
)
async def signature_utf_8(trade: Trade) -> None:
    """Check a sale from a device with such a number."""
    require_check_signature(trade, await trade.checked(await trade.opened(serial_number=CYRILLIC)))


@SUBJECT.must("no-null", "An optional member that there is nothing to say of is left out: none is null.", FIELD)
async def no_null(trade: Trade) -> None:
    """Look for null anywhere in a confirmation."""
    checked = await trade.checked()
    for path in _nulls(checked.answer):
        raise Fault(f"{path} to be left out", checked.exchange.told(), checked.exchange)


def _nulls(value: object, path: str = "") -> Iterator[str]:
    if value is None:
        yield path
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from _nulls(member, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list):
        for item in value:
            yield from _nulls(item, f"{path}[]")


_TYPES: tuple[tuple[str, type], ...] = (
    ("consumer.email", str),
    ("sourceOfFunds.reference.serverCardId", str),
    ("sourceOfFunds.card.number", str),
    ("sourceOfFunds.card.expiry.month", int),
    ("sourceOfFunds.card.expiry.year", int),
    ("sourceOfFunds.card.holder.firstName", str),
    ("sourceOfFunds.card.holder.lastName", str),
    ("transaction.currency", str),
    ("transaction.randomSumCentis", int),
)


@SUBJECT.must(
    "types", "Optional members have their types, integers as JSON numbers, and transaction.currency is the sale's."
)
async def types(trade: Trade) -> None:
    """Look at the types of what is in a confirmation."""
    checked = await trade.checked()
    require_types(checked)
    currency = member_of(checked.answer, "transaction.currency")
    if currency not in {None, checked.sale.currency}:
        raise Fault(f"transaction.currency {checked.sale.currency}", checked.exchange.told(), checked.exchange)


def require_types(checked: Checked) -> None:
    """Require the optional members of a confirmation to have their types.

    Raises:
        Fault: one has another; null is another matter.
    """
    for path, kind in _TYPES:
        value = member_of(checked.answer, path)
        if value is not None and type(value) is not kind:
            told = "a JSON number without a fraction" if kind is int else "a string"
            raise Fault(f"{path} as {told}", checked.exchange.told(), checked.exchange)


@SUBJECT.must(
    "repeat", "The same check again gives the same answer: the payment gateway repeats what it got no answer to.", FIELD
)
async def repeat(trade: Trade) -> None:
    """Send a check three times."""
    sale = await trade.opened()
    first = await trade.checked(sale)
    for _ in range(2):
        again = await trade.check(sale, check_document(sale, first.token))
        require_same(first.exchange, again)


def require_same(first: Exchange, again: Exchange) -> None:
    """Require a repeated request to have the same answer, whatever the order of its members.

    Raises:
        Fault: it has another.
    """
    if confirmed(again, "the same answer again") != first.document:
        raise Fault(f"the same answer again: {first.told()}", again.told(), again)


@SUBJECT.must(
    "another-session-token",
    "A session that was checked is not confirmed for another session.token: it would be charged twice.",
    "contract, Errors: 1105",
)
async def another_session_token(trade: Trade) -> None:
    """Check a sale, and again with another token."""
    checked = await trade.checked()
    again = await trade.check(checked.sale, check_document(checked.sale))
    trade.refused(again, "the check with another session.token to be refused")


@SUBJECT.should("signature-case", "A signature is compared whatever the case of its digits.")
async def signature_case(trade: Trade) -> None:
    """Check a sale with its signature in the other case."""
    sale = await trade.opened()
    document = check_document(sale)
    swapped = with_member(document, "session.signature", sale.signature.swapcase())
    confirmed(await trade.check(sale, swapped), "the signature in the other case to be confirmed")


@SUBJECT.must("unknown-members", "Members that the document does not list are ignored.", FIELD)
async def unknown_members(trade: Trade) -> None:
    """Check a sale with members that nobody knows."""
    sale = await trade.opened()
    document = with_member(check_document(sale), "sourceOfFunds.card", {"bin": 444455})
    document = with_member(document, "transaction.note", [None])
    confirmed(await trade.check(sale, document), "a check with unknown members to be confirmed")


@SUBJECT.must("session-token", "session.token: 16-36 characters.")
async def session_token(trade: Trade) -> None:
    """Check sales with tokens of both lengths."""

    async def case(token: str) -> None:
        sale = await trade.opened()
        confirmed(
            await trade.check(sale, check_document(sale, token)),
            f"a session.token of {len(token)} characters to be taken",
        )

    await all_hold(*(case(new_session_token().replace("-", "").ljust(36, "f")[:length]) for length in (16, 32, 36)))


@SUBJECT.should(
    "unicode-form",
    "A serial number is compared as it was first received: another Unicode form of it is another one.",
    waits=True,
)
async def unicode_form(trade: Trade) -> None:
    """Open a sale with a decomposed letter, and check it with the composed one, then as it was."""
    decomposed = "cafe\u0301 7"
    sale = await trade.opened(serial_number=decomposed)
    document: dict[str, Any] = check_document(sale)
    composed = with_member(document, "consumer.device.serialNumber", unicodedata.normalize("NFC", decomposed))
    trade.refused(await trade.check(sale, composed), "another Unicode form of the serial number to be refused")
    confirmed(await trade.check(sale, document), "the serial number as it was sent to be confirmed")
