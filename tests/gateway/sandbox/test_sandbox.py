"""Each test card takes a sale the way that it promises, through a real server and its store."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import httpx2
import pytest
from connectingparty.sale.v1.sale_pb2 import SaleState
from connectingparty.sale.v1.sale_service_pb2 import GetSaleRequest, GetSaleResponse
from connectingparty.sale.v1.sale_service_pb2_grpc import SaleServiceStub
from structlog.types import EventDict

from gateway.parties.consumer_app import DEVICE_API, ConsumerApp, OpenedSale, card_of, saved_card_of
from gateway.parties.exchanges import Document, NoAnswer, Peer, Refused, Unreachable
from gateway.sandbox.cards import CARDS, Card, card_of_name
from tests.running import Program
from tests.sandboxes import begin_sandbox

pytestmark = pytest.mark.anyio
AMOUNT, CURRENCY = 1042, "EUR"


class Bought(NamedTuple):
    """A sale that was performed."""

    opened: OpenedSale
    access_token: str
    token: str


async def buy(app: ConsumerApp, funds: Document, amount: int = AMOUNT, access_token: str | None = None) -> Bought:
    access_token = access_token or await app.request_access_token()
    opened = await app.initiate(access_token, amount, CURRENCY)
    token = await app.perform_sale(opened, access_token, amount, CURRENCY, funds)
    return Bought(opened, access_token, token)


async def status(app: ConsumerApp, bought: Bought) -> dict[str, Any]:
    return (await app.sale_status(bought.opened, bought.access_token, bought.token)).document()


async def wait_for_state(app: ConsumerApp, bought: Bought, *states: str) -> dict[str, Any]:
    for _ in range(300):
        found = await status(app, bought)
        if found["state"] in states:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(found)


async def wait_for_sale(
    sales: SaleServiceStub, bought: Bought, holds: Callable[[GetSaleResponse], bool]
) -> GetSaleResponse:
    """Return the sale as the store has it, once something of it holds."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        stored = sales.GetSale(GetSaleRequest(invoice_id=bought.opened.invoice_id), timeout=5)
        if holds(stored):
            return stored
        await asyncio.sleep(0.01)
    raise AssertionError(stored)


async def two_callbacks(server: Program, before: int) -> list[tuple[int, int | None]]:
    """Return status and code of the two callbacks that the server logged after so many events."""
    for _ in range(100):
        calls = [event for event in server.events()[before:] if event.get("route") == "/sale/callback"]
        if len(calls) == 2:
            return [(call["status"], call.get("code")) for call in calls]
    raise AssertionError(calls)


def is_in(state: str) -> Callable[[GetSaleResponse], bool]:
    return lambda stored: stored.sale.state == SaleState.Value(f"SALE_STATE_{state}")


STATES = {"approved": "APPROVED", "declined": "DECLINED", "filtered": "FILTERED", "error": "FAILED"}
USUAL = [card for card in CARDS if card.promise in {"APPROVED", "DECLINED"} and not card.redirects]


@pytest.mark.parametrize("card", USUAL, ids=lambda card: card.name)
async def test_a_card_is_charged_as_it_promises(app: ConsumerApp, sales: SaleServiceStub, card: Card) -> None:
    bought = await buy(app, card_of(card.number))

    told = await wait_for_state(app, bought, "APPROVED", "DECLINED")

    assert told["state"] == card.promise
    assert told["transaction"]["amountCentis"] == AMOUNT
    assert told["bankOrderId"]
    end = STATES["approved" if card.decline is None else card.decline.status]
    stored = await wait_for_sale(sales, bought, is_in(end))
    assert stored.sale.orderid == told["orderId"]
    assert stored.sale.HasField("client_card_id") == (card.promise == "APPROVED")
    assert stored.sale.amount_differs == (card.name == "other-amount")


async def test_a_callback_with_a_wrong_control_is_refused_and_sent_again(
    app: ConsumerApp, sales: SaleServiceStub, server: Program
) -> None:
    before = len(server.events())
    bought = await buy(app, card_of(card_of_name("wrong-control").number))

    stored = await wait_for_sale(sales, bought, is_in("APPROVED"))

    assert len(stored.status_reports) == 1
    assert await two_callbacks(server, before) == [(403, 1109), (200, None)]


async def test_a_callback_that_comes_twice_is_kept_once(
    app: ConsumerApp, sales: SaleServiceStub, server: Program
) -> None:
    before = len(server.events())
    bought = await buy(app, card_of(card_of_name("twice").number))

    assert await two_callbacks(server, before) == [(200, None), (200, None)]
    stored = await wait_for_sale(sales, bought, is_in("APPROVED"))

    assert [report.status for report in stored.status_reports] == ["approved"]


async def test_an_earlier_status_that_comes_after_the_final_one_undoes_nothing(
    app: ConsumerApp, sales: SaleServiceStub
) -> None:
    bought = await buy(app, card_of(card_of_name("out-of-order").number))

    stored = await wait_for_sale(sales, bought, lambda stored: len(stored.status_reports) == 2)

    assert [report.status for report in stored.status_reports] == ["approved", "processing"]
    assert is_in("APPROVED")(stored)


async def test_a_late_callback_comes_after_the_app_was_told(app: ConsumerApp, sales: SaleServiceStub) -> None:
    bought = await buy(app, card_of(card_of_name("late").number))

    await wait_for_state(app, bought, "APPROVED")

    assert is_in("CHECKED")(sales.GetSale(GetSaleRequest(invoice_id=bought.opened.invoice_id)))
    await wait_for_sale(sales, bought, is_in("APPROVED"))


async def test_a_silent_card_is_processed_for_ever(app: ConsumerApp, sales: SaleServiceStub) -> None:
    bought = await buy(app, card_of(card_of_name("silent").number))

    await asyncio.sleep(0.1)

    assert (await status(app, bought))["state"] == "PROCESSING"
    assert is_in("CHECKED")(sales.GetSale(GetSaleRequest(invoice_id=bought.opened.invoice_id)))


async def test_a_sale_that_the_app_has_no_answer_for_is_charged_all_the_same(
    server: Program, sandbox: str, sales: SaleServiceStub
) -> None:
    async with Peer(f"http://{server.http}") as merchant, Peer(sandbox, timeout_seconds=0.2) as gateway:
        app = ConsumerApp(merchant, gateway, "R58M123ABC")
        access_token = await app.request_access_token()
        opened = await app.initiate(access_token, AMOUNT, CURRENCY)
        funds = card_of(card_of_name("unanswered").number)
        with pytest.raises(NoAnswer):
            await app.perform_sale(opened, access_token, AMOUNT, CURRENCY, funds)

    await wait_for_sale(sales, Bought(opened, access_token, ""), is_in("APPROVED"))


async def test_a_check_with_another_signature_is_refused_by_the_server(app: ConsumerApp) -> None:
    with pytest.raises(Refused, match="refused the check") as refusal:
        await buy(app, card_of(card_of_name("wrong-signature").number))

    assert (refusal.value.cause, refusal.value.code, refusal.value.status) == ("INVALID_REQUEST", "1102", 403)


@pytest.mark.parametrize("amount", [101, 116, 209])
async def test_some_amounts_are_declined_whatever_the_card(
    app: ConsumerApp, sales: SaleServiceStub, amount: int
) -> None:
    bought = await buy(app, card_of(card_of_name("approved").number), amount)

    await wait_for_sale(sales, bought, is_in("DECLINED"))


async def test_a_saved_card_is_charged_by_the_id_that_the_server_names(
    app: ConsumerApp, sales: SaleServiceStub
) -> None:
    first = await buy(app, card_of(card_of_name("other-amount").number))
    await wait_for_state(app, first, "APPROVED")
    saved = await app.client_ids(first.access_token, first.opened.invoice_id)

    again = await buy(app, saved_card_of(saved), access_token=first.access_token)

    stored = await wait_for_sale(sales, again, is_in("APPROVED"))
    assert stored.sale.client_card_id == saved
    assert stored.sale.amount_differs  # it is the same card still
    assert stored.status_reports[0].amount == "11.42"


@pytest.mark.parametrize(("button", "state"), [("approve", "APPROVED"), ("decline", "DECLINED")])
async def test_the_consumer_decides_on_a_page(
    app: ConsumerApp, sales: SaleServiceStub, button: str, state: str
) -> None:
    bought = await buy(app, card_of(card_of_name("3ds").number))
    url = (await wait_for_state(app, bought, "REDIRECT_REQUEST"))["redirectUrl"]
    assert len(url) <= 128  # as the provider's document bounds it

    async with httpx2.AsyncClient() as browser:
        page = await browser.get(url)
        unclear = await browser.post(url, data={"decision": "perhaps"})
        after = await browser.post(url, data={"decision": button})
        again = await browser.post(url, data={"decision": "approve"})

    assert "10.42 EUR" in page.text
    assert "ending in 3220" in page.text
    assert "<script" not in page.text
    assert unclear.text == page.text
    assert f"Payment {state.lower()}" in after.text
    assert (again.status_code, "Nothing to confirm" in again.text) == (404, True)
    assert (await wait_for_state(app, bought, "APPROVED", "DECLINED"))["state"] == state
    await wait_for_sale(sales, bought, is_in(state))


async def test_a_page_that_nobody_answers_is_a_decline(app: ConsumerApp, sales: SaleServiceStub) -> None:
    bought = await buy(app, card_of(card_of_name("3ds").number))

    await wait_for_sale(sales, bought, is_in("DECLINED"))


async def test_a_sale_that_the_server_did_not_open_is_not_charged(app: ConsumerApp) -> None:
    access_token = await app.request_access_token()
    opened = await app.initiate(access_token, AMOUNT, CURRENCY)
    funds = card_of(card_of_name("approved").number)

    with pytest.raises(Refused, match=r"session\.signature does not fit"):
        await app.perform_sale(opened, access_token, AMOUNT + 1, CURRENCY, funds)
    with pytest.raises(Refused, match="endpointId must be one of: 1111"):
        await app.perform_sale(opened._replace(endpoint_id="2222"), access_token, AMOUNT, CURRENCY, funds)


async def test_every_field_that_is_wrong_is_named(sandbox: str) -> None:
    wrong = {
        "consumer": {"device": {"serialNumber": 7}},
        "session": {"accessToken": "a" * 32, "nonce": "n" * 32, "signature": "s" * 31},
        "transaction": {"amountCentis": 0, "currency": "EUR"},
        "sourceOfFunds": {"card": {"number": "4444555566661112", "expiry": {"month": 13}}},
    }
    async with Peer(sandbox) as gateway:
        exchange = await gateway.post(f"{DEVICE_API}/1111/invoice", wrong)

    assert exchange.status == 400
    assert exchange.answer["error"]["code"] == "1001"
    assert [fault.split(" ")[0] for fault in exchange.answer["error"]["message"].split("; ")] == [
        "consumer.device.serialNumber",
        "session.signature",
        "transaction.amountCentis",
        "sourceOfFunds.card.expiry.month",
        "sourceOfFunds.card.expiry.year",
        "sourceOfFunds.card.number",
    ]


async def test_it_logs_what_it_does_without_a_card_number_or_a_token(
    app: ConsumerApp, sales: SaleServiceStub, logged: Sequence[EventDict]
) -> None:
    before, number = len(logged), card_of_name("approved").number
    bought = await buy(app, card_of(number))
    await wait_for_sale(sales, bought, is_in("APPROVED"))
    told = [event for event in logged[before:] if event["invoice_id"] == bought.opened.invoice_id]

    assert [event["event"] for event in told[:3]] == [
        "sandbox: check confirmed",
        "sandbox: card saved",
        "sandbox: charged",
    ]
    for secret in (number, bought.access_token, bought.token, bought.opened.nonce, bought.opened.signature):
        assert secret not in str(told)


async def test_somebody_else_learns_nothing_of_a_sale(app: ConsumerApp) -> None:
    bought = await buy(app, card_of(card_of_name("approved").number))

    with pytest.raises(Refused, match="1104"):
        await status(app, bought._replace(token="f" * 36))
    with pytest.raises(Refused, match="1101"):
        await status(app, bought._replace(access_token="f" * 64))


@pytest.mark.parametrize(("method", "path", "code"), [("GET", DEVICE_API + "/1/2", "1005"), ("POST", "/", "1004")])
async def test_other_paths_and_methods_are_told_as_the_contract_tells_errors(
    sandbox: str, method: str, path: str, code: str
) -> None:
    async with Peer(sandbox) as gateway:
        exchange = await (gateway.get(path) if method == "GET" else gateway.post(path, {}))

    assert exchange.answer["error"]["code"] == code


async def test_a_server_that_does_not_answer_is_named(server: Program) -> None:
    nobody = begin_sandbox("http://127.0.0.1:1")
    async with Peer(f"http://{server.http}") as merchant, Peer(f"http://{nobody.address}") as gateway:
        lonely = ConsumerApp(merchant, gateway, "R58M123ABC")
        with pytest.raises(Refused, match="4000") as refusal:
            await buy(lonely, card_of(card_of_name("approved").number))
    nobody.stop()

    assert "http://127.0.0.1:1" in refusal.value.message
    async with Peer(f"http://{nobody.address}") as gone:
        with pytest.raises(Unreachable):
            await gone.get("/")
