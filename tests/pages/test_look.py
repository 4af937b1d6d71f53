"""Every page can be read by everybody: on a phone, in the dark, with colours that differ enough, without scripts."""

import pytest
from connectingparty.sale.v1.error_reason_pb2 import ErrorReason
from playwright.async_api import Browser, Page

from tests.merchant import initiate_document
from tests.running import Program
from tests.transports import OverHttp

pytestmark = pytest.mark.anyio
PAGES = ("/docs", "/docs/signatures", "/docs/errors", "/docs/sales", "/docs/sales/{invoice_id}")
FAINT = """() => {
    const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const linear = (part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    const light = (colour) => {
        const [red, green, blue] = numbers(colour).map((value) => linear(value / 255));
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const isClear = (colour) => numbers(colour)[3] === 0;
    const under = (element) => {
        const { backgroundColor } = getComputedStyle(element);
        return isClear(backgroundColor) && element.parentElement ? under(element.parentElement) : backgroundColor;
    };
    const faint = [];
    for (const element of document.querySelectorAll("body *")) {
        const says = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!says || !element.checkVisibility()) continue;
        const [one, other] = [light(getComputedStyle(element).color), light(under(element))].sort((a, b) => b - a);
        const contrast = (one + 0.05) / (other + 0.05);
        if (contrast < 4.5) faint.push([element.outerHTML.slice(0, 80), contrast]);
    }
    return faint;
}"""


@pytest.fixture(scope="module")
def invoice_id(server: Program) -> str:
    with server.client() as client:
        http = OverHttp(client)
        return str(http.initiate(initiate_document(http.request_access_token())).body["invoiceId"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_page_fits_a_phone_and_is_read_in_daylight_and_in_the_dark(
    page: Page, invoice_id: str, scheme: str
) -> None:
    await page.set_viewport_size({"width": 360, "height": 740})
    await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    for path in PAGES:
        await page.goto(path.format(invoice_id=invoice_id))

        assert await page.evaluate("document.documentElement.scrollWidth") <= 360, path
        assert await page.evaluate(FAINT) == [], path
        background = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(255, 255, 255)") == (scheme == "light")


async def test_a_legend_of_two_lines_is_not_run_through_by_a_border(page: Page) -> None:
    await page.set_viewport_size({"width": 360, "height": 740})
    await page.goto("/docs/signatures")
    above = await page.locator("fieldset:visible").evaluate_all(
        """all => all.map(one => {
            const [legend, next] = [one.firstElementChild, one.children[1]].map(part => part.getBoundingClientRect());
            const border = one.getBoundingClientRect();
            return [border.top < legend.top, legend.bottom <= next.top, legend.right < border.right];
        })"""
    )

    assert len(above) == 4
    assert all(map(all, above)), above


async def test_every_control_has_a_name_and_every_page_one_title(page: Page, invoice_id: str) -> None:
    for path in PAGES:
        await page.goto(path.format(invoice_id=invoice_id))
        nameless = await page.locator("input, textarea, button, output").evaluate_all(
            "all => all.filter(one => !one.labels?.length && !one.textContent).map(one => one.outerHTML)"
        )
        repeated = await page.locator("[id]").evaluate_all(
            "all => all.map(one => one.id).filter((id, place, ids) => ids.indexOf(id) !== place)"
        )

        assert (nameless, repeated) == ([], []), path
        assert await page.locator("h1").count() == await page.locator("main").count() == 1
        assert await page.evaluate("document.documentElement.lang") == "en"


async def test_reference_and_errors_are_read_without_scripts(browser: Browser, server: Program) -> None:
    context = await browser.new_context(base_url=f"http://{server.http}", java_script_enabled=False)
    page = await context.new_page()
    await page.goto("/docs")
    reference = await page.inner_text("main")
    await page.goto("/docs/errors")
    errors = await page.inner_text("main")
    await context.close()

    assert "consumer.device.serialNumber" in reference
    assert "curl -s $BASE/sale/initiate-sale" in reference
    assert "Try it out" not in reference
    assert all(str(code) in errors for name, code in ErrorReason.items() if code)
