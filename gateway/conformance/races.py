"""What holds of one request holds of many at the same time."""

import asyncio

from gateway.conformance.answers import confirmed
from gateway.conformance.check_sale import require_same
from gateway.conformance.documents import (
    check_document,
    client_ids_document,
    new_serial_number,
    new_server_card_id,
    notification_document,
)
from gateway.conformance.exchanges import Exchange
from gateway.conformance.faults import Fault, NotTested
from gateway.conformance.requirements import CHECK_DOCUMENT, FIELD, OURS, Subject
from gateway.conformance.trade import AT_ONCE, Trade

SUBJECT = Subject("races", f"{AT_ONCE} requests at once", FIELD)


def _sequence(opening: str, request: str) -> str:
    return f"{opening} Then start this {AT_ONCE} times at once (append & to each, then wait), {request}."


@SUBJECT.must(
    "one-session-token",
    "Of checks with different values of session.token exactly one is confirmed, and it stays so.",
    CHECK_DOCUMENT,
)
async def one_session_token(trade: Trade) -> None:
    """Check a sale with many tokens at once."""
    sale = await trade.opened()
    documents = [check_document(sale) for _ in range(AT_ONCE)]
    exchanges = await asyncio.gather(*(trade.check(sale, document) for document in documents))
    won = [number for number, exchange in enumerate(exchanges) if _is_confirmed(exchange)]
    sequence = _sequence("Open a new sale, and put its session into this check.", "each with another session.token")
    if len(won) != 1:
        shown = [exchanges[number] for number in won[:2]] or exchanges[:1]
        raise Fault("exactly one to be confirmed", f"{len(won)} of {AT_ONCE}", *shown, sequence=sequence)
    for number, document in enumerate(documents):
        again = await trade.check(sale, document)
        if _is_confirmed(again) != (number in won):
            raise Fault(
                "the one that was confirmed to be the only one afterwards",
                again.told(),
                exchanges[won[0]],
                again,
                sequence=sequence,
            )


def _is_confirmed(exchange: Exchange) -> bool:
    return exchange.status == 200 and exchange.error is None


@SUBJECT.should("same-check", "The same check many times at once has the same answer each time.")
async def same_check(trade: Trade) -> None:
    """Check a sale with one token many times at once."""
    sale = await trade.opened()
    document = check_document(sale)
    exchanges = await asyncio.gather(*(trade.check(sale, document) for _ in range(AT_ONCE)))
    first = exchanges[0]
    for exchange in exchanges:
        if not _is_confirmed(exchange) or exchange.document != first.document:
            raise Fault(
                f"the same answer each time: {first.told()}",
                exchange.told(),
                exchange,
                sequence=_sequence("Open a new sale, and put its session into this check.", "all alike"),
            )


@SUBJECT.should("idempotency-key", "Many of the same request with one Idempotency-Key at once open one session.", OURS)
async def idempotency_key(trade: Trade) -> None:
    """Send one many times at once, and once more."""
    document, key = await trade.initiate_document(), ("Idempotency-Key", new_serial_number())
    exchanges = await asyncio.gather(*(trade.initiate(document, key) for _ in range(AT_ONCE)))
    exchanges.append(await trade.initiate(document, key))
    opened = {(exchange.document or {}).get("invoiceId"): exchange for exchange in exchanges if _is_confirmed(exchange)}
    if len(opened) != 1:
        raise Fault(
            "one invoiceId",
            f"{len(opened)}: {', '.join(map(str, opened))}",
            *[*opened.values()][:2],
            sequence=_sequence("Take a new Idempotency-Key.", "all alike"),
        )


@SUBJECT.must("callbacks", "The same callback many times at once is answered by HTTP 200 each time.", needs_key=True)
async def callbacks(trade: Trade) -> None:
    """Tell of an approved sale many times at once."""
    checked = await trade.checked()
    parameters = trade.callback(checked.sale)
    for exchange in await asyncio.gather(*(trade.call_back(parameters) for _ in range(AT_ONCE))):
        if not _is_confirmed(exchange):
            raise Fault(
                "HTTP 200 each time", exchange.told(), exchange, sequence=_sequence("Check a new sale.", "all alike")
            )


@SUBJECT.should("notifications", "The same notification many times at once saves one card.", OURS)
async def notifications(trade: Trade) -> None:
    """Tell of a card many times at once."""
    checked = await trade.checked()
    document = notification_document(checked, new_server_card_id())
    exchanges = await asyncio.gather(*(trade.notify(document) for _ in range(AT_ONCE)))
    if not any(_is_confirmed(exchange) for exchange in exchanges):
        raise NotTested(f"the notification was not taken: {exchanges[0].told()}", exchanges[0])
    for exchange in exchanges:
        require_same(exchanges[0], exchange)
    asked = [await trade.client_ids(checked.sale, client_ids_document(checked.sale)) for _ in range(2)]
    if confirmed(asked[0], "sourceCardRefId") != confirmed(asked[1], "sourceCardRefId"):
        raise Fault(f"one card: {asked[0].told()}", asked[1].told(), asked[1])
