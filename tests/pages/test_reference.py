"""A newcomer clicks through a whole sale, and finds out what an error means."""

import subprocess
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from tests.running import Program

pytestmark = pytest.mark.anyio
KEYSTROKES = 40
"""A whole sale takes no more of them."""
FLOW = ("RequestAccessToken", "InitiateSale", "CheckSale", "NotifyCardMapping", "ReceiveCallback", "GetClientIds")


def form(page: Page, operation: str) -> Locator:
    return page.locator(f"form[data-name={operation}]")


async def send(page: Page, operation: str) -> Any:
    """Send what a form says, and return what it shows of the body."""
    await form(page, operation).get_by_role("button", name="Send").click()
    await expect(form(page, operation).locator(".status strong")).to_have_text("200 OK")
    return await form(page, operation).get_by_label("Body", exact=True).last.inner_text()


def run(line: str) -> str:
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=30, check=True).stdout


async def test_a_whole_sale_is_made_by_clicking_send_in_each_operation(page: Page) -> None:
    await page.goto("/docs")
    names = await page.locator("form.try").evaluate_all("forms => forms.map(form => form.dataset.name)")

    answers = {name: await send(page, name) for name in FLOW}

    assert names == list(FLOW)
    assert "sourceCardRefId" in answers["GetClientIds"]
    # The next one tells all that there is to tell, and is paid with the card that was saved.
    for name in ("InitiateSale", "CheckSale"):
        await form(page, name).get_by_role("button", name="With every member").click()
        answers[name] = await send(page, name)
    assert '"serverCardId": "77000001"' in answers["CheckSale"]
    await form(page, "InitiateSale").get_by_role("link", name="See the life of this sale").click()
    await expect(page.locator(".state-now .state")).to_have_text("CHECKED")


async def test_a_form_tells_what_it_still_needs(page: Page) -> None:
    await page.goto("/docs")
    missing = form(page, "CheckSale").locator(".missing")
    await expect(missing).to_contain_text("answer: RequestAccessToken, InitiateSale.")
    await expect(form(page, "InitiateSale").locator(".missing")).to_contain_text("answer: RequestAccessToken.")

    await send(page, "RequestAccessToken")
    await send(page, "InitiateSale")

    await expect(missing).to_be_hidden()


async def test_an_error_leads_to_what_its_code_means(page: Page, faults: list[str]) -> None:
    await page.goto("/docs")
    await form(page, "InitiateSale").get_by_label("Body", exact=True).fill('{"transaction": {"amountCentis": 0}}')
    await form(page, "InitiateSale").get_by_role("button", name="Send").click()
    await expect(form(page, "InitiateSale").locator(".status")).to_contain_text("400")

    await form(page, "InitiateSale").get_by_role("link", name="What 1001 means").click()

    await expect(page.locator("article:target h2")).to_contain_text("1001 INVALID_FIELD")
    assert [fault.partition(":")[0] for fault in faults] == ["Failed to load resource"]
    faults.clear()


async def test_the_line_for_a_shell_does_the_same(page: Page, server: Program) -> None:
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.goto("/docs")
    await send(page, "RequestAccessToken")
    body = form(page, "InitiateSale").get_by_label("Body", exact=True)
    await body.fill((await body.input_value()).replace("R58M123ABC", 'it\'s \\"№7\\" $HOME'))
    await form(page, "InitiateSale").get_by_text("Headers").first.click()
    await form(page, "InitiateSale").get_by_label("Idempotency-Key").fill("a key's")
    opened = await send(page, "InitiateSale")
    await form(page, "InitiateSale").get_by_role("button", name="Copy as curl").click()

    line = await page.evaluate("navigator.clipboard.readText()")

    printed = run(line)
    assert printed.startswith("HTTP/1.1 200")
    invoice_id = opened.partition('"invoiceId": "')[2][:36]
    assert invoice_id in printed, "the same Idempotency-Key gives the same sale"


async def test_the_reference_is_used_by_keyboard_alone(page: Page) -> None:
    await page.goto("/docs")
    await page.keyboard.press("Tab")
    await expect(page.locator(":focus")).to_have_text("Skip to the content")
    await page.keyboard.press("Enter")
    await expect(page.locator("main")).to_be_focused()

    for _ in range(30):
        await page.keyboard.press("Tab")
        if await page.locator(":focus").inner_text() == "Send":
            break
    outline = await page.locator(":focus").evaluate("element => getComputedStyle(element).outlineStyle")
    await page.keyboard.press("Enter")

    assert outline == "solid"
    await expect(form(page, "RequestAccessToken").locator(".status strong")).to_have_text("200 OK")
    await expect(form(page, "RequestAccessToken").locator(".answer")).to_have_attribute("aria-live", "polite")


@pytest.mark.parametrize("width", [1280, 360])
async def test_a_whole_sale_is_made_in_few_keystrokes(page: Page, width: int) -> None:
    await page.set_viewport_size({"width": width, "height": 740})
    await page.goto("/docs")
    pressed: list[str] = []

    async def press(key: str) -> None:
        pressed.append(key)
        await page.keyboard.press(key)

    async def press_tab_until(words: str) -> None:
        while len(pressed) < KEYSTROKES and await page.locator(":focus").all_inner_texts() != [words]:
            await press("Tab")

    await press_tab_until("Skip to the content")
    await press("Enter")
    await press_tab_until("Send")
    for name, following in zip(FLOW, [*FLOW[1:], None], strict=True):
        await expect(form(page, name).get_by_role("button", name="Send")).to_be_focused()
        await expect(form(page, name).get_by_role("button", name="Send")).to_be_in_viewport()
        await press("Enter")
        await expect(form(page, name).locator(".status strong")).to_have_text("200 OK")
        await expect(form(page, name).locator(".status")).to_be_in_viewport()
        if following:
            await expect(form(page, name).locator(".next")).to_be_in_viewport()
            await press_tab_until(f"Next: {following}")
            await press("Enter")
            await expect(page.locator("section:target")).to_have_id(following)

    assert len(pressed) <= KEYSTROKES


async def test_a_form_is_sent_from_its_body_by_keyboard(page: Page) -> None:
    await page.goto("/docs")
    await send(page, "RequestAccessToken")
    body = form(page, "InitiateSale").get_by_label("Body", exact=True)
    await expect(body).to_have_accessible_description("Ctrl+Enter sends it.")

    await body.press("Enter")
    await expect(form(page, "InitiateSale").locator(".answer")).to_be_empty()
    await body.press("Control+Enter")

    await expect(form(page, "InitiateSale").locator(".status strong")).to_have_text("200 OK")
