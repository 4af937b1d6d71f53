"""Connections that are slow, cut, kept or used ahead of the answers."""

import asyncio

from gateway.conformance.documents import Sale, new_serial_number, sale_of
from gateway.conformance.exchanges import Exchange, Request
from gateway.conformance.faults import Fault, NotTested
from gateway.conformance.raw_http import bytes_of, head_of, send_pieces
from gateway.conformance.requirements import FIELD, OURS, Subject
from gateway.conformance.trade import Trade

SUBJECT = Subject("connections", "Connections", FIELD)
_CLOSE = "Connection: close"
_CLIENT_SECONDS = 20.0
_PIECES = 5
_PAUSE_SECONDS = 0.1
_SETTLE_SECONDS = 0.3


@SUBJECT.must("slow-body", "A body that comes in pieces, as over a phone's network, is taken.", waits=True)
async def slow_body(trade: Trade) -> None:
    """Send the head and the body apart, the body in pieces."""
    document = await trade.initiate_document()
    request = trade.initiation(document)
    body = request.body or b""
    size = -(-len(body) // _PIECES)
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    head = head_of(request, f"Content-Length: {len(body)}", _CLOSE)
    await _opens(trade, document, request, [head, *pieces], "in pieces with a pause between them")


@SUBJECT.should("chunked-body", "A body in chunks, without a Content-Length, is taken.", OURS, waits=True)
async def chunked_body(trade: Trade) -> None:
    """Send it in two chunks."""
    document = await trade.initiate_document()
    request = trade.initiation(document)
    body = request.body or b""
    chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:40], body[40:])]
    head = head_of(request, "Transfer-Encoding: chunked", _CLOSE)
    await _opens(trade, document, request, [head, *chunks, b"0\r\n\r\n"], "with Transfer-Encoding: chunked")


async def _opens(trade: Trade, document: dict[str, object], request: Request, pieces: list[bytes], how: str) -> Sale:
    exchange = (await send_pieces(trade.wire, request, pieces, pause_seconds=_PAUSE_SECONDS))[0]
    try:
        return sale_of(document, exchange)
    except Fault as fault:
        raise Fault(fault.expected, fault.got, exchange, sequence=f"Send the body {how}.") from None


@SUBJECT.must(
    "cut-body",
    "After a connection that was cut in the middle of a body the same request opens a sale.",
    FIELD,
    waits=True,
)
async def cut_body(trade: Trade) -> None:
    """Cut a body, and send the whole request with its Idempotency-Key."""
    document = await trade.initiate_document()
    request = _with_key(trade, document)
    whole = bytes_of(request)
    await send_pieces(trade.wire, request, [whole[:-20]], read=False)
    sale_of(document, await trade.send(request))


@SUBJECT.should(
    "lost-answer",
    "A request whose answer was lost gives the same session when it is sent again with its Idempotency-Key.",
    waits=True,
)
async def lost_answer(trade: Trade) -> None:
    """Send a request, close the connection before the answer, and send it again twice."""
    document = await trade.initiate_document()
    request = _with_key(trade, document)
    await send_pieces(trade.wire, request, [bytes_of(request)], read=False)
    await asyncio.sleep(_SETTLE_SECONDS)
    sales = [sale_of(document, await trade.send(request)) for _ in range(2)]
    if sales[0].invoice_id != sales[1].invoice_id:
        raise Fault(f"the session of invoice {sales[0].invoice_id} again", sales[1].opening.told(), sales[1].opening)


def _with_key(trade: Trade, document: dict[str, object]) -> Request:
    request = trade.initiation(document)
    key = ("Idempotency-Key", new_serial_number())
    return Request(request.method, request.url, (*request.headers, key), request.body)


@SUBJECT.should(
    "pipelined", "Requests that are sent over one connection before the first answer are answered in their order.", OURS
)
async def pipelined(trade: Trade) -> None:
    """Send three."""
    documents = [await trade.initiate_document(amount_centis=trade.terms.amount_centis + more) for more in range(3)]
    requests = [trade.initiation(document) for document in documents]
    data = b"".join(bytes_of(request) for request in requests[:-1]) + bytes_of(requests[-1], _CLOSE)
    exchanges = await send_pieces(trade.wire, requests[-1], [data])
    _require_all(exchanges, documents, "Send three such requests over one connection without waiting.")


@SUBJECT.should("keep-alive", "A connection takes one request after another.", waits=True)
async def keep_alive(trade: Trade) -> None:
    """Send three, with a pause between them."""
    documents = [await trade.initiate_document() for _ in range(3)]
    requests = [trade.initiation(document) for document in documents]
    pieces = [*(bytes_of(request) for request in requests[:-1]), bytes_of(requests[-1], _CLOSE)]
    exchanges = await send_pieces(trade.wire, requests[-1], pieces, pause_seconds=_SETTLE_SECONDS)
    _require_all(exchanges, documents, "Send three such requests over one connection, one after the other.")


def _require_all(exchanges: list[Exchange], documents: list[dict[str, object]], sequence: str) -> None:
    try:
        sales = [sale_of(document, exchange) for document, exchange in zip(documents, exchanges, strict=False)]
    except Fault as fault:
        raise Fault(fault.expected, fault.got, *fault.exchanges, sequence=sequence) from None
    if len(sales) < len(documents) or len({sale.invoice_id for sale in sales}) < len(sales):
        raise Fault(f"{len(documents)} sales", f"{len(sales)} answers", *exchanges[:1], sequence=sequence)


@SUBJECT.must("timely", "Every answer comes within 20 seconds: clients wait no longer.", last=True)
async def timely(trade: Trade) -> None:
    """Look at the slowest answer of all."""
    slowest = trade.wire.slowest
    if slowest is None:
        raise NotTested("nothing was sent")
    if slowest.seconds >= min(_CLIENT_SECONDS, trade.wire.timeout_seconds):
        raise Fault(
            f"an answer within {_CLIENT_SECONDS:g} s", f"{slowest.told()} after {slowest.seconds:.1f} s", slowest
        )
