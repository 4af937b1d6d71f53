"""The callback that tells how a sale has ended."""

from gateway.conformance.documents import new_session_token
from gateway.conformance.exchanges import Exchange
from gateway.conformance.faults import Fault, NotTested, all_hold
from gateway.conformance.requirements import FIELD, OURS, Subject
from gateway.conformance.trade import Trade
from gateway.parties.signatures import callback_control

SUBJECT = Subject("callback", "Callback", FIELD)


def _taken(exchange: Exchange, what: str) -> None:
    if exchange.status != 200 or exchange.error is not None:
        raise Fault(
            f"HTTP 200 for {what}; for anything else it is sent again, 30 times over 14 days", exchange.told(), exchange
        )


def _turned_down(exchange: Exchange, what: str) -> None:
    if not 400 <= exchange.status < 500:
        raise Fault(f"{what} to be refused by a status from 400 to 499", exchange.told(), exchange)


@SUBJECT.must(
    "accepted",
    "A callback with the right control checksum, with the control key as it is written, is answered by HTTP 200.",
    needs_key=True,
)
async def accepted(trade: Trade) -> None:
    """Tell that a sale was approved."""
    checked = await trade.checked()
    _taken(await trade.call_back(trade.callback(checked.sale)), "a callback with the right control")


@SUBJECT.must("every-status", "Every status that the payment gateway knows is taken.", needs_key=True)
async def every_status(trade: Trade) -> None:
    """Tell each of a sale of its own."""

    async def case(status: str) -> None:
        checked = await trade.checked()
        _taken(await trade.call_back(trade.callback(checked.sale, status=status)), f"status {status}")

    await all_hold(*(case(status) for status in ("approved", "declined", "filtered", "error", "unknown", "processing")))


@SUBJECT.must(
    "every-type", "After the sale its reversal and chargeback are taken, and a type that nobody knows.", needs_key=True
)
async def every_type(trade: Trade) -> None:
    """Tell of each, one after the other."""
    checked = await trade.checked()
    for kind in ("sale", "reversal", "chargeback", "dispute"):
        _taken(await trade.call_back(trade.callback(checked.sale, type=kind)), f"type {kind}")


@SUBJECT.must("repeated", "The same callback again is answered by HTTP 200 each time.", needs_key=True)
async def repeated(trade: Trade) -> None:
    """Send one five times."""
    checked = await trade.checked()
    parameters = trade.callback(checked.sale)
    for number in range(1, 6):
        _taken(await trade.call_back(parameters), f"the same callback, time {number}")


@SUBJECT.must(
    "late", "What comes after the final status, late or in another order, is answered by HTTP 200.", needs_key=True
)
async def late(trade: Trade) -> None:
    """Tell of what was before the approval, after it."""
    checked = await trade.checked()
    for status in ("approved", "processing", "unknown", "declined"):
        _taken(
            await trade.call_back(trade.callback(checked.sale, status=status)), f"status {status} of an approved sale"
        )


@SUBJECT.must("unknown-parameters", "Parameters that nobody knows are taken, in any encoding.", needs_key=True)
async def unknown_parameters(trade: Trade) -> None:
    """Send those that vary by setup, in UTF-8 and not."""

    async def case(more: str) -> None:
        checked = await trade.checked()
        _taken(await trade.call_back(trade.callback(checked.sale), more), f"a callback with {more}")

    usual = "&descriptor=ACME+%26+sons&error_code=&approval-code=123456&last-four-digits=1111&bin=444455&card-type=VISA"
    await all_hold(case(f"{usual}&anything=else"), case("&name=%D0%90%D0%BD%D0%BD%D0%B0"), case("&name=%C0%ED%ED%E0"))


@SUBJECT.must("wrong-control", "A callback with a wrong control checksum, or without one, is refused.", waits=True)
async def wrong_control(trade: Trade) -> None:
    """Send checksums that the key does not make."""
    checked = await trade.checked()
    sent = {"status": "approved", "type": "sale", "orderid": "1", "client_orderid": checked.sale.invoice_id}

    async def case(control: dict[str, str], told: str) -> None:
        _turned_down(await trade.call_back({**sent, **control}), f"a callback {told}")

    await all_hold(
        case({"control": "0" * 40}, "with a wrong control"),
        case({"control": ""}, "with an empty control"),
        case({}, "without control"),
    )


@SUBJECT.must(
    "tampered",
    "A callback whose status, orderid or client_orderid is not that of its control checksum is refused.",
    needs_key=True,
    waits=True,
)
async def tampered(trade: Trade) -> None:
    """Change each, and a digit of the checksum."""
    checked, other = await trade.checked(), await trade.checked()
    right = trade.callback(checked.sale, status="declined")
    digit = "0" if right["control"][-1] != "0" else "1"
    changes = {
        "status": "approved",
        "orderid": f"{right['orderid']}1",
        "client_orderid": other.sale.invoice_id,
        "control": right["control"][:-1] + digit,
    }

    async def case(name: str, value: str) -> None:
        _turned_down(await trade.call_back({**right, name: value}), f"a callback with another {name}")

    await all_hold(*(case(name, value) for name, value in changes.items()))


@SUBJECT.must(
    "key-as-written",
    "The control checksum is made with the control key as it is written: without its dashes it is refused.",
    needs_key=True,
    waits=True,
)
async def key_as_written(trade: Trade) -> None:
    """Leave the dashes out."""
    if "-" not in trade.control_key:
        raise NotTested("the control key is written without dashes")
    checked = await trade.checked()
    right = trade.callback(checked.sale)
    names = {name: right[name] for name in ("status", "orderid", "client_orderid")}
    wrong = callback_control(trade.control_key.replace("-", ""), **names)
    _turned_down(await trade.call_back({**right, "control": wrong}), "a control with a key without dashes")


@SUBJECT.should(
    "unknown-invoice", "A callback of an invoice that there is not is refused.", OURS, needs_key=True, waits=True
)
async def unknown_invoice(trade: Trade) -> None:
    """Send one under a right checksum."""
    checked = await trade.checked()
    unknown = new_session_token()
    parameters = trade.callback(checked.sale, client_orderid=unknown, merchant_order=unknown)
    _turned_down(await trade.call_back(parameters), "a callback of an unknown invoice")
