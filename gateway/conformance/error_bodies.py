"""What is no proper request at all is answered too, and every failure in one shape."""

import json

from gateway.conformance.answers import refused, require_error_shape
from gateway.conformance.documents import encoded
from gateway.conformance.exchanges import Exchange, Request
from gateway.conformance.faults import Fault, NotTested, all_hold
from gateway.conformance.raw_http import send_pieces
from gateway.conformance.requirements import INITIATE_DOCUMENT, OURS, Subject
from gateway.conformance.trade import JSON_TYPE, Trade

SUBJECT = Subject("errors", "Errors", "contract, Errors")
_OVERSIZE_BYTES = 2 * 2**20
_DEEP = 10_000


def _require_refused(trade: Trade, exchange: Exchange, what: str) -> None:
    refused(exchange, f"{what} to be refused")
    require_error_shape(exchange)
    trade.refusals.append(exchange)


async def _refuses_body(trade: Trade, body: bytes, what: str) -> None:
    _require_refused(trade, await trade.initiate(body), what)


@SUBJECT.must("unknown-path", "A path that there is not is answered by the error body.")
async def unknown_path(trade: Trade) -> None:
    """Ask for some."""

    async def case(method: str, path: str) -> None:
        request = Request(method, f"{trade.terms.target}{path}", (JSON_TYPE,), b"{}" if method == "POST" else None)
        _require_refused(trade, await trade.send(request), f"{method} {path}")

    cases = (("GET", "/verify-no-such-path"), ("POST", "/sale/no-such/operation"), ("POST", "/sale/initiate-sale/x"))
    await all_hold(*(case(*each) for each in cases))


@SUBJECT.must("wrong-method", "A path with a method that it does not take is answered by the error body.")
async def wrong_method(trade: Trade) -> None:
    """Use some."""

    async def case(method: str, url: str) -> None:
        _require_refused(trade, await trade.send(Request(method, url)), f"{method} {url}")

    target, payment_gateway = trade.terms.target, trade.terms.payment_gateway_url
    await all_hold(
        case("GET", f"{target}/sale/initiate-sale"),
        case("DELETE", f"{target}/sale/initiate-sale"),
        case("GET", f"{payment_gateway}/sale/x/check"),
        case("PUT", f"{payment_gateway}/sale/notification"),
    )


@SUBJECT.must("malformed-json", "A body that is no JSON, or is cut off, is refused by the error body.")
async def malformed_json(trade: Trade) -> None:
    """Send some."""
    right = encoded(await trade.initiate_document())
    bodies = (b"nonsense", b"{", right[:-1], right + b"}", b"<sale/>", b"consumer=1", right.replace(b'"', b"'"))
    await all_hold(*(_refuses_body(trade, body, f"the body {body[:24]!r}") for body in bodies))


@SUBJECT.must("empty-body", "An empty body is refused by the error body.")
async def empty_body(trade: Trade) -> None:
    """Send none, and one of blanks."""
    await all_hold(_refuses_body(trade, b"", "an empty body"), _refuses_body(trade, b" \n", "a blank body"))


@SUBJECT.must("no-object", "JSON that is no object is refused by the error body.")
async def no_object(trade: Trade) -> None:
    """Send other values."""
    await all_hold(*(_refuses_body(trade, body, body.decode()) for body in (b"[]", b"null", b"1", b'"text"', b"true")))


@SUBJECT.must("no-utf-8", "A body that is not UTF-8 is refused by the error body.")
async def no_utf_8(trade: Trade) -> None:
    """Send other encodings."""
    document = await trade.initiate_document(serial_number="Серийный")
    text = json.dumps(document, ensure_ascii=False)
    await all_hold(*(_refuses_body(trade, text.encode(name), f"a body in {name}") for name in ("cp1251", "utf-16")))


@SUBJECT.should("no-json-numbers", "NaN and Infinity, which are no JSON, are refused by the error body.")
async def no_json_numbers(trade: Trade) -> None:
    """Send them as a coordinate."""
    text = json.dumps({**await trade.initiate_document(), "location": {"lat": 0.5}})
    names = ("NaN", "Infinity", "-Infinity", "1e999")
    await all_hold(
        *(_refuses_body(trade, text.replace("0.5", name).encode(), f"location.lat {name}") for name in names)
    )


@SUBJECT.should(
    "duplicate-keys", "A body with the same key twice is refused: two readers could take different values of it."
)
async def duplicate_keys(trade: Trade) -> None:
    """Send two amounts."""
    text = json.dumps(await trade.initiate_document())
    twice = text.replace('"amountCentis":', '"amountCentis": 1, "amountCentis":')
    await _refuses_body(trade, twice.encode(), "a body with amountCentis twice")


@SUBJECT.must(
    "deep-nesting",
    f"A body that nests {_DEEP} levels deep does not make the server fail: it is refused by the error body.",
)
async def deep_nesting(trade: Trade) -> None:
    """Send lists and objects, closed and not."""
    bodies = (
        b"[" * _DEEP,
        b"[" * _DEEP + b"]" * _DEEP,
        b'{"a":' * _DEEP,
        b'{"a":' * (_DEEP // 2) + b"1" + b"}" * (_DEEP // 2),
    )
    await all_hold(*(_refuses_body(trade, body, f"{_DEEP} levels") for body in bodies))


@SUBJECT.must(
    "long-number", "A number of thousands of digits does not make the server fail: it is refused by the error body."
)
async def long_number(trade: Trade) -> None:
    """Send it as the amount."""
    text = json.dumps(await trade.initiate_document(amount_centis=987654321))
    await _refuses_body(trade, text.replace("987654321", "9" * 10_000).encode(), "an amount of 10,000 digits")


@SUBJECT.must(
    "hostile-strings",
    "NUL and lone surrogates do not make the server fail: where it does not take them, it says so by the error body.",
)
async def hostile_strings(trade: Trade) -> None:
    """Send them as the serial number."""

    async def case(serial_number: str) -> None:
        exchange = await trade.initiate(await trade.initiate_document(serial_number=serial_number))
        if exchange.status != 200 or exchange.error is not None:
            _require_refused(trade, exchange, f"the serial number {serial_number!r}")

    await all_hold(*(case(serial_number) for serial_number in ("a\0b", "a\ud800b", "\udfff", "\ufeff\u202e")))


@SUBJECT.should("oversize-body", "A body of 2 MiB is refused by the error body.")
async def oversize_body(trade: Trade) -> None:
    """Send it as an unknown member."""
    document = {"padding": "x" * _OVERSIZE_BYTES, **await trade.initiate_document()}
    await _refuses_body(trade, encoded(document), "a body of 2 MiB")


@SUBJECT.should("content-type", "A body that is not said to be application/json is refused by the error body.")
async def content_type(trade: Trade) -> None:
    """Say something else, or nothing."""
    body = encoded(await trade.initiate_document())

    async def case(*headers: tuple[str, str]) -> None:
        request = Request("POST", f"{trade.terms.target}/sale/initiate-sale", headers, body)
        _require_refused(trade, await trade.send(request), f"a body with {dict(headers) or 'no Content-Type'}")

    await all_hold(case(("Content-Type", "text/plain")), case(("Content-Type", "application/xml")), case())


@SUBJECT.must("cause", "A request that is wrong has the cause INVALID_REQUEST.", INITIATE_DOCUMENT)
async def cause(trade: Trade) -> None:
    """Look at the causes of wrong requests."""

    async def case(body: bytes) -> None:
        exchange = await trade.initiate(body)
        if (exchange.error or {}).get("cause") != "INVALID_REQUEST":
            raise Fault("error.cause INVALID_REQUEST", exchange.told(), exchange)

    await all_hold(case(b"{}"), case(b"nonsense"), case(b'{"consumer": {"device": {"serialNumber": 5}}}'))


@SUBJECT.should("malformed-http", "What is no HTTP is answered by the error body too.")
async def malformed_http(trade: Trade) -> None:
    """Send a request with a broken length, and what is no request."""
    request = Request("POST", f"{trade.terms.target}/sale/initiate-sale", (JSON_TYPE,))
    lines = (b"nonsense\r\n\r\n", b"POST /sale/initiate-sale HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n")

    async def case(line: bytes) -> None:
        exchange = (await send_pieces(trade.wire, request, [line]))[0]
        try:
            _require_refused(trade, exchange, repr(line))
        except Fault as fault:
            raise Fault(fault.expected, fault.got, sequence=f"Send the bytes {line!r} to the port.") from None

    await all_hold(*(case(line) for line in lines))


@SUBJECT.should("head-and-options", "HEAD and OPTIONS are answered, by whatever is no failure of the server.", OURS)
async def head_and_options(trade: Trade) -> None:
    """Send both to a path of the app."""

    async def case(method: str, path: str) -> None:
        exchange = await trade.send(Request(method, f"{trade.terms.target}{path}"))
        if not 200 <= exchange.status < 500 or (method == "HEAD" and exchange.body):
            raise Fault(f"{method} to be answered by a status below 500", exchange.told(), exchange)

    paths = ("/auth/request-access-token", "/sale/initiate-sale")
    await all_hold(*(case(method, path) for method in ("HEAD", "OPTIONS") for path in paths))


@SUBJECT.must(
    "shape",
    "Every refusal that was seen has the error body: cause one of four, code a string of decimal digits, "
    "message a text, application/json.",
    INITIATE_DOCUMENT,
    last=True,
)
async def shape(trade: Trade) -> None:
    """Look at the refusals of all other requirements."""
    if not trade.refusals:
        raise NotTested("nothing was refused")
    for exchange in trade.refusals:
        require_error_shape(exchange)
