"""Initiate sale: what its success says."""

import asyncio
import math
from collections.abc import Sequence

from gateway.conformance.documents import Sale, new_serial_number, sale_of, with_member
from gateway.conformance.exchanges import Request
from gateway.conformance.faults import Fault, NotTested
from gateway.conformance.requirements import FIELD, INITIATE_DOCUMENT, Subject
from gateway.conformance.signatures import require_session_signature
from gateway.conformance.trade import Trade

CYRILLIC = "Серийный-№7"
_MANY = 20
_RANDOM_BITS = 64
_MAX_CENTIS = 2**63 - 1

SUBJECT = Subject("initiate", "Initiate sale", INITIATE_DOCUMENT)


@SUBJECT.must(
    "success",
    "A sale with the required members alone is opened: endpointId, invoiceId, session.nonce, "
    "session.signature, all strings.",
)
async def success(trade: Trade) -> None:
    """Open a sale with nothing optional."""
    document = await trade.initiate_document()
    sale_of(document, await trade.initiate(document))


@SUBJECT.must("optional-members", "Every optional member is taken, and 0.0 is a real coordinate.")
async def optional_members(trade: Trade) -> None:
    """Open a sale with everything optional."""
    document = await trade.initiate_document()
    document = with_member(document, "consumer.device.imei", "356938035643809")
    document = with_member(document, "consumer.ipAddresses", ["192.0.2.1", "198.51.100.20"])
    document = with_member(document, "location", {"lat": 0.0, "lng": 0.0})
    sale_of(document, await trade.initiate(document))


@SUBJECT.must(
    "signature",
    "session.signature is the HMAC-SHA1 of accessToken, serialNumber, endpointId, nonce, invoiceId, "
    "amountCentis and currency under the control key.",
    needs_key=True,
)
async def signature(trade: Trade) -> None:
    """Compute the signature of a sale again."""
    require_session_signature(trade, await trade.opened())


@SUBJECT.must(
    "signature-utf-8", "session.signature covers the UTF-8 bytes of a serial number in Cyrillic.", needs_key=True
)
async def signature_utf_8(trade: Trade) -> None:
    """Compute the signature of a sale from a device with such a number again."""
    require_session_signature(trade, await trade.opened(serial_number=CYRILLIC))


@SUBJECT.must("signature-form", "session.signature is 40 hexadecimal digits.", "contract, Signatures")
async def signature_form(trade: Trade) -> None:
    """Look at the digits of a signature."""
    sale = await trade.opened()
    if len(sale.signature) != 40 or set(sale.signature.lower()) - set("0123456789abcdef"):
        raise Fault("session.signature of 40 hexadecimal digits", sale.opening.told(), sale.opening)


@SUBJECT.must(
    "nonce-length",
    "session.nonce has 32-128 characters, which the check of the sale asks for.",
    "Check sale document (004)",
)
async def nonce_length(trade: Trade) -> None:
    """Count the characters of a nonce."""
    sale = await trade.opened()
    if not 32 <= len(sale.nonce) <= 128:
        raise Fault("session.nonce of 32-128 characters", sale.opening.told(), sale.opening)


@SUBJECT.must("unique", f"Of {_MANY} sales that are opened at once no two have the same nonce or invoiceId.")
async def unique(trade: Trade) -> None:
    """Open many sales."""
    sales = await _many(trade)
    for name, values in (
        ("session.nonce", [sale.nonce for sale in sales]),
        ("invoiceId", [sale.invoice_id for sale in sales]),
    ):
        if len(set(values)) < len(values):
            raise Fault(
                f"{_MANY} different values of {name}", f"{len(set(values))}", sales[0].opening, sequence=_OPENED_AT_ONCE
            )


@SUBJECT.must(
    "random-nonce", f"session.nonce is random: what changes from one to the next is worth {_RANDOM_BITS} bits or more."
)
async def random_nonce(trade: Trade) -> None:
    """Count what changes, at each place of a nonce."""
    sales = await _many(trade)
    length = min(len(sale.nonce) for sale in sales)
    bits = sum(math.log2(len({sale.nonce[place] for sale in sales})) for place in range(length))
    if bits < _RANDOM_BITS:
        raise Fault(
            f"{_RANDOM_BITS} bits that change",
            f"about {bits:.0f}, as of {sales[0].nonce} and {sales[1].nonce}",
            sales[0].opening,
            sequence=_OPENED_AT_ONCE,
        )


_OPENED_AT_ONCE = f"Send it {_MANY} times, and compare the answers."


async def _many(trade: Trade) -> Sequence[Sale]:
    return await asyncio.gather(*(trade.opened() for _ in range(_MANY)))


@SUBJECT.should(
    "no-lent-digit",
    "invoiceId and nonce always have one length, and invoiceId does not end in a digit that amountCentis could "
    "take over: nothing separates the parts that are signed.",
)
async def no_lent_digit(trade: Trade) -> None:
    """Look at the ends of invoice ids."""
    sales = await _many(trade)
    lengths = {(len(sale.invoice_id), len(sale.nonce)) for sale in sales}
    if len(lengths) > 1:
        raise Fault("one length of invoiceId, and one of session.nonce", f"lengths {sorted(lengths)}", sales[0].opening)
    for sale in sales:
        if sale.invoice_id[-1].isdecimal():
            raise Fault("the last character of invoiceId to be no digit", sale.invoice_id, sale.opening)


@SUBJECT.must(
    "unknown-members",
    "Members that the document does not list are ignored: apps send transaction.fromBin and others.",
    FIELD,
)
async def unknown_members(trade: Trade) -> None:
    """Open a sale with members that nobody knows."""
    document = await trade.initiate_document()
    for path in ("transaction.fromBin", "transaction.toBin", "consumer.name", "anything"):
        document = with_member(document, path, {"of": [1, None, "kind"]})
    sale_of(document, await trade.initiate(document))


@SUBJECT.must("charset", "Content-Type: application/json is understood with a charset.", FIELD)
async def charset(trade: Trade) -> None:
    """Open a sale whose body has one."""
    document = await trade.initiate_document()
    request = trade.initiation(document)
    request = Request(request.method, request.url, (("Content-Type", "application/json; charset=utf-8"),), request.body)
    sale_of(document, await trade.send(request))


@SUBJECT.must(
    "large-amount",
    "An amount above 2^53 is not rounded, up to 2^63 - 1; a limit of the merchant may filter it.",
    needs_key=True,
)
async def large_amount(trade: Trade) -> None:
    """Open sales that a floating-point number could not hold."""
    taken = [await _large(trade, amount_centis) for amount_centis in (2**53 + 1, _MAX_CENTIS)]
    if not any(taken):
        raise NotTested("such amounts are FILTERED; try it with an endpoint without a limit")


async def _large(trade: Trade, amount_centis: int) -> bool:
    document = await trade.initiate_document(amount_centis=amount_centis)
    exchange = await trade.initiate(document)
    if exchange.error is not None and exchange.error.get("cause") == "FILTERED":
        return False
    require_session_signature(trade, sale_of(document, exchange))
    return True


@SUBJECT.should("amount-as-string", "amountCentis is taken as a string of digits too, and signed the same.")
async def amount_as_string(trade: Trade) -> None:
    """Open a sale as clients of protobuf's JSON do."""
    document = await trade.initiate_document()
    document = with_member(document, "transaction.amountCentis", str(trade.terms.amount_centis))
    sale = sale_of(document, await trade.initiate(document))
    if trade.terms.control_key is not None:
        require_session_signature(trade, sale)


@SUBJECT.should("unknown-access-token", "An access token that was never given out opens no sale.", waits=True)
async def unknown_access_token(trade: Trade) -> None:
    """Try one that is well-formed."""
    if trade.terms.access_tokens:
        raise NotTested("--access-token says that the server gives none out: it may take any")
    document = await trade.initiate_document(access_token="0f" * 32)
    trade.refused(await trade.initiate(document), "an unknown session.accessToken to be refused")


@SUBJECT.should("idempotency-key", "The same request with the same Idempotency-Key gives the same session again.")
async def idempotency_key(trade: Trade) -> None:
    """Send a request three times."""
    document, key = await trade.initiate_document(), ("Idempotency-Key", new_serial_number())
    sales = [sale_of(document, await trade.initiate(document, key)) for _ in range(3)]
    for sale in sales[1:]:
        if sale.invoice_id != sales[0].invoice_id or sale.nonce != sales[0].nonce:
            raise Fault(f"the session of invoice {sales[0].invoice_id} again", sale.opening.told(), sale.opening)


@SUBJECT.should("idempotency-key-reused", "An Idempotency-Key with another request is refused.")
async def idempotency_key_reused(trade: Trade) -> None:
    """Send one with another amount."""
    document, key = await trade.initiate_document(), ("Idempotency-Key", new_serial_number())
    sale_of(document, await trade.initiate(document, key))
    other = with_member(document, "transaction.amountCentis", trade.terms.amount_centis + 1)
    trade.refused(await trade.initiate(other, key), "the Idempotency-Key with another amount to be refused")
