"""The sandbox's page for 3-D Secure works for everybody: by keyboard, without scripts, on a phone, in the dark."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser

from gateway.parties.consumer_app import ConsumerApp, OpenedSale, State, card_of
from gateway.parties.exchanges import Document, Peer
from gateway.sandbox.callbacks import Schedule
from gateway.sandbox.cards import card_of_name
from tests.running import Program
from tests.sandboxes import begin_sandbox

pytestmark = pytest.mark.anyio
OVERFLOWS = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


class Waiting:
    """A sale that waits for the consumer."""

    def __init__(self, app: ConsumerApp, opened: OpenedSale, access_token: str, token: str) -> None:
        self._app = app
        self._known = (opened, access_token, token)

    async def wait_for(self, *states: State) -> Document:
        for _ in range(500):
            found = (await self._app.sale_status(*self._known)).document()
            if found["state"] in states:
                return found
            await asyncio.sleep(0.01)
        raise AssertionError(found)


@pytest.fixture
async def waiting(server: Program) -> AsyncIterator[Waiting]:
    sandbox = begin_sandbox(f"http://{server.http}", Schedule(charge_seconds=0.01))
    async with Peer(f"http://{server.http}") as merchant, Peer(f"http://{sandbox.address}") as gateway:
        app = ConsumerApp(merchant, gateway, "R58M123ABC")
        access_token = await app.request_access_token()
        opened = await app.initiate(access_token, 1042, "EUR")
        card = card_of(card_of_name("3ds").number)
        yield Waiting(app, opened, access_token, await app.perform_sale(opened, access_token, 1042, "EUR", card))
    sandbox.stop()


@pytest.mark.parametrize(("presses", "end"), [(1, State.APPROVED), (2, State.DECLINED)])
async def test_the_consumer_decides_by_keyboard(browser: Browser, waiting: Waiting, presses: int, end: State) -> None:
    url = (await waiting.wait_for(State.REDIRECT_REQUEST))["redirectUrl"]
    context = await browser.new_context(
        java_script_enabled=False, color_scheme="dark", viewport={"width": 320, "height": 480}
    )
    page = await context.new_page()
    await page.goto(url)

    assert not await page.evaluate(OVERFLOWS)
    for _ in range(presses):
        await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")

    await page.get_by_role("heading", name=f"Payment {end.lower()}").wait_for()
    await context.close()
    assert (await waiting.wait_for(State.APPROVED, State.DECLINED))["state"] == end
