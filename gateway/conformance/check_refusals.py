"""Check sale: what is not what was opened is not confirmed."""

import asyncio
from collections.abc import Iterator
from typing import Any

from gateway.conformance.answers import confirmed
from gateway.conformance.bounds import NOT_STRINGS, refuses
from gateway.conformance.documents import (
    ABSENT,
    Sale,
    check_document,
    member_of,
    new_serial_number,
    new_session_token,
    with_member,
)
from gateway.conformance.exchanges import Exchange
from gateway.conformance.faults import Fault, all_hold
from gateway.conformance.requirements import CHECK_DOCUMENT, OURS, Subject
from gateway.conformance.trade import Trade
from gateway.parties.signatures import session_signature

SUBJECT = Subject("check", "Check sale: refusals", CHECK_DOCUMENT)
_SERIAL = "consumer.device.serialNumber"
_TOKEN = "session.accessToken"  # noqa: S105  # the path of one
_NONCE = "session.nonce"
_SIGNATURE = "session.signature"


def _changed(value: str) -> Iterator[str]:
    """Yield a value with one character changed: the first, the last; one more or less."""
    for place in (0, len(value) - 1):
        other = "0" if value[place] != "0" else "1"
        yield value[:place] + other + value[place + 1 :]
    yield value + "0" if len(value) < 40 else value[:-1]


async def _refuses_changes(trade: Trade, path: str) -> None:
    sale = await trade.opened()
    document = check_document(sale)
    value = str(member_of(document, path))
    await all_hold(
        *(_refuses(trade, sale, with_member(document, path, other), f"{path} {other}") for other in _changed(value))
    )
    await _still_confirms(trade, sale, document)


async def _refuses(
    trade: Trade, sale: Sale, document: dict[str, Any], told: str, invoice_id: str | None = None
) -> Exchange:
    return trade.refused(await trade.check(sale, document, invoice_id), f"a check with {told} to be refused")


async def _still_confirms(trade: Trade, sale: Sale, document: dict[str, Any]) -> None:
    confirmed(await trade.check(sale, document), "the right check to be confirmed after wrong ones were refused")


@SUBJECT.must(
    "tampered-serial-number",
    "A check with another consumer.device.serialNumber is refused, however little it differs; the right one is "
    "confirmed after it.",
    waits=True,
)
async def tampered_serial_number(trade: Trade) -> None:
    """Change single characters."""
    await _refuses_changes(trade, _SERIAL)


@SUBJECT.must(
    "tampered-access-token",
    "A check with another session.accessToken is refused, however little it differs; the right one is "
    "confirmed after it.",
    waits=True,
)
async def tampered_access_token(trade: Trade) -> None:
    """Change single characters."""
    await _refuses_changes(trade, _TOKEN)


@SUBJECT.must(
    "tampered-nonce",
    "A check with another session.nonce is refused, however little it differs; the right one is confirmed after it.",
    waits=True,
)
async def tampered_nonce(trade: Trade) -> None:
    """Change single characters."""
    await _refuses_changes(trade, _NONCE)


@SUBJECT.must(
    "tampered-signature",
    "A check with another session.signature is refused, however little it differs; the right one is confirmed "
    "after it.",
    waits=True,
)
async def tampered_signature(trade: Trade) -> None:
    """Change single characters."""
    await _refuses_changes(trade, _SIGNATURE)


@SUBJECT.must("swapped-parts", "A check in which two values have changed places is refused.", waits=True)
async def swapped_parts(trade: Trade) -> None:
    """Swap nonce and signature, access token and nonce."""
    sale = await trade.opened()
    document = check_document(sale)

    def swapped(one: str, other: str) -> dict[str, Any]:
        return with_member(with_member(document, one, member_of(document, other)), other, member_of(document, one))

    await all_hold(
        _refuses(trade, sale, swapped(_NONCE, _SIGNATURE), "nonce and signature swapped"),
        _refuses(trade, sale, swapped(_TOKEN, _NONCE), "accessToken and nonce swapped"),
    )


@SUBJECT.must(
    "moved-characters",
    "A check in which characters moved from one value to its neighbour is refused, though their concatenation "
    "is signed the same.",
    waits=True,
)
async def moved_characters(trade: Trade) -> None:
    """Move characters between access token and serial number, which are signed one after the other."""
    sale = await trade.opened()
    document = check_document(sale)

    def moved(access_token: str, serial_number: str) -> dict[str, Any]:
        return with_member(with_member(document, _TOKEN, access_token), _SERIAL, serial_number)

    token, serial = sale.access_token, sale.serial_number
    pairs = [(token + serial[0], serial[1:]), (token[:-1], token[-1] + serial)]
    await all_hold(
        *(
            _refuses(trade, sale, moved(*pair), f"a character moved between {_TOKEN} and {_SERIAL}")
            for pair in pairs
            if 32 <= len(pair[0]) <= 128
        )
    )


@SUBJECT.must(
    "another-sale",
    "A check with the nonce, the signature or the whole session of another sale is refused.",
    waits=True,
)
async def another_sale(trade: Trade) -> None:
    """Open two sales of one device, and mix them."""
    serial = new_serial_number()
    sale, other = await trade.opened(serial_number=serial), await trade.opened(serial_number=serial)
    document = check_document(sale)
    both = with_member(with_member(document, _NONCE, other.nonce), _SIGNATURE, other.signature)
    await all_hold(
        _refuses(trade, sale, with_member(document, _NONCE, other.nonce), "the nonce of another sale"),
        _refuses(trade, sale, with_member(document, _SIGNATURE, other.signature), "the signature of another sale"),
        _refuses(trade, sale, both, "the session of another sale"),
    )


@SUBJECT.must(
    "another-amount",
    "A check with a signature over another amount is refused, though it was made with the control key.",
    needs_key=True,
    waits=True,
)
async def another_amount(trade: Trade) -> None:
    """Sign smaller amounts and other currencies."""
    sale = await trade.opened()
    await all_hold(
        *(_refuses_terms(trade, sale, *terms) for terms in ((1, sale.currency), (sale.amount_centis, "XTS")))
    )


async def _refuses_terms(trade: Trade, sale: Sale, amount_centis: int, currency: str) -> None:
    signature = session_signature(
        trade.control_key,
        access_token=sale.access_token,
        serial_number=sale.serial_number,
        endpoint_id=sale.endpoint_id,
        nonce=sale.nonce,
        invoice_id=sale.invoice_id,
        amount_centis=amount_centis,
        currency=currency,
    )
    document = with_member(check_document(sale), _SIGNATURE, signature)
    await _refuses(trade, sale, document, f"the signature of {amount_centis} centis in {currency}")


@SUBJECT.must(
    "another-consumer",
    "A check with the access token of another consumer, or from another consumer's device, is refused.",
    waits=True,
)
async def another_consumer(trade: Trade) -> None:
    """Use what is right for another sale."""
    sale = await trade.opened()
    document = check_document(sale)
    other = await trade.another_access_token()
    await all_hold(
        _refuses(trade, sale, with_member(document, _TOKEN, other), "the access token of another consumer"),
        _refuses(trade, sale, with_member(document, _SERIAL, new_serial_number()), "another device"),
    )


@SUBJECT.must("unknown-invoice", "A check of an invoiceId that there is not is refused.", waits=True)
async def unknown_invoice(trade: Trade) -> None:
    """Change the invoice id of a right check."""
    sale = await trade.opened()
    invoice_ids = (new_session_token(), sale.invoice_id[:-1], f"{sale.invoice_id}0")
    await all_hold(*(_refuses(trade, sale, check_document(sale), "an unknown invoiceId", each) for each in invoice_ids))


@SUBJECT.should(
    "silent", "Whichever value differs, the refusal says the same: nobody learns which one it was.", waits=True
)
async def silent(trade: Trade) -> None:
    """Compare the refusals of four values."""
    sale = await trade.opened()
    document = check_document(sale)

    async def changed(path: str) -> Exchange:
        other = next(_changed(str(member_of(document, path))))
        return await _refuses(trade, sale, with_member(document, path, other), f"another {path}")

    refusals = await asyncio.gather(*(changed(path) for path in (_SERIAL, _TOKEN, _NONCE, _SIGNATURE)))
    for refusal in refusals[1:]:
        if (refusal.status, refusal.document) != (refusals[0].status, refusals[0].document):
            raise Fault(
                f"the same refusal as of another value: {refusals[0].told()}", refusal.told(), refusals[0], refusal
            )


@SUBJECT.must("refusal-invoice-id", "The refusal of a check has the invoiceId beside the error.", waits=True)
async def refusal_invoice_id(trade: Trade) -> None:
    """Look for it."""
    sale = await trade.opened()
    exchange = await _refuses(trade, sale, with_member(check_document(sale), _NONCE, "f" * 64), "another nonce")
    if (exchange.document or {}).get("invoiceId") != sale.invoice_id:
        raise Fault(f'"invoiceId": "{sale.invoice_id}" beside "error"', exchange.told(), exchange)


@SUBJECT.must(
    "bounds",
    "Every required member of a check is a string within its bounds: serialNumber 1-50, accessToken, nonce and "
    "signature 32-128, token 16-36.",
    waits=True,
)
async def bounds(trade: Trade) -> None:
    """Try what is out of them."""
    sale = await trade.opened()

    async def draft() -> dict[str, Any]:
        return check_document(sale)

    async def send(document: dict[str, Any]) -> Exchange:
        return await trade.check(sale, document)

    wrong = {_SERIAL: (1, 50), _TOKEN: (32, 128), _NONCE: (32, 128), _SIGNATURE: (32, 128), "session.token": (16, 36)}
    await all_hold(
        *(
            refuses(trade, draft, send, path, ("a" * (shortest - 1), "a" * (longest + 1), *NOT_STRINGS))
            for path, (shortest, longest) in wrong.items()
        ),
        *(refuses(trade, draft, send, path, (ABSENT, None, [])) for path in ("consumer", "consumer.device", "session")),
        refuses(trade, draft, send, "sourceOfFunds.reference.clientCardId", ("", "a" * 129, 5, [])),
    )
    await _still_confirms(trade, sale, check_document(sale))


@SUBJECT.should("after-callback", "A sale that has ended is not confirmed any more.", OURS, needs_key=True)
async def after_callback(trade: Trade) -> None:
    """Check a sale again that was approved."""
    checked = await trade.checked()
    await trade.call_back(trade.callback(checked.sale))
    again = await trade.check(checked.sale, check_document(checked.sale, checked.token))
    trade.refused(again, "the check of an approved sale to be refused")
