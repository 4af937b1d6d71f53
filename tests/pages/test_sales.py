"""In development mode, a page tells what happens to a sale as it happens."""

import pytest
from playwright.async_api import Page, expect

from gateway.parties.development import CONTROL_KEY
from tests.merchant import callback_parameters, check_document, initiate_document
from tests.running import Program
from tests.transports import OverHttp

pytestmark = pytest.mark.anyio
PAUSE = 1000
"""Milliseconds between two looks of a page at its sale, let pass at once."""


async def test_the_life_of_a_sale_is_followed(page: Page, server: Program) -> None:
    with server.client() as client:
        http = OverHttp(client)
        token = http.request_access_token()
        await page.clock.install()
        await page.goto("/docs/sales")
        opened = http.initiate(initiate_document(token)).body
        invoice_id = opened["invoiceId"]
        await page.clock.run_for(PAUSE)

        await page.get_by_role("link", name=invoice_id).click()
        await expect(page.locator("#state .state")).to_have_text("INITIATED")
        events = page.locator("#events li")
        before = await events.count()

        wrong = check_document(token, opened, serial_number="another")
        assert http.check(invoice_id, wrong).code == 1102
        assert http.check(invoice_id, check_document(token, opened)).code == 0
        await page.clock.run_for(PAUSE)
        await expect(page.locator("#state .state")).to_have_text("CHECKED")
        await expect(events.nth(before)).to_contain_text("1102 SESSION_MISMATCH")
        assert http.callback(callback_parameters(invoice_id, control_key=CONTROL_KEY)).code == 0
        await page.clock.run_for(PAUSE)
        await expect(page.locator("#state .state")).to_have_text("APPROVED")
        await expect(events.last).to_contain_text("Reported: sale approved, order 5624444, amount 10.42")

    assert await events.count() == before + 3
    assert token not in await page.content()


async def test_a_sale_whose_reported_amount_differs_is_marked_in_the_list(page: Page, server: Program) -> None:
    with server.client() as client:
        http = OverHttp(client)
        token = http.request_access_token()
        marks = {}
        for amount in ("10.42", "1042"):
            opened = http.initiate(initiate_document(token)).body
            assert http.check(opened["invoiceId"], check_document(token, opened)).code == 0
            called = callback_parameters(opened["invoiceId"], control_key=CONTROL_KEY, amount=amount)
            assert http.callback(called).code == 0
            marks[amount] = page.get_by_role("listitem").filter(has_text=opened["invoiceId"])

    await page.goto("/docs/sales")

    await expect(marks["1042"]).to_contain_text("Reported amount differs")
    await expect(marks["10.42"]).not_to_contain_text("differs")
    await expect(page.locator("main")).to_contain_text("Times are UTC.")
