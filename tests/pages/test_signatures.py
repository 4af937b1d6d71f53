"""The signature debugger computes what the contract has, names every mistake, and keeps the control key to itself."""

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.async_api import Page, Request, expect

from gateway.pages.signature_words import KINDS, MISTAKES
from service.signature_computations import Computation, control_computation, hmac_computation
from service.signature_mistakes import Mistake, explain, wrong_signatures
from service.signing import ControlKey, parse_control_key
from tests.pages.conftest import OTHER_HOST
from tests.running import Program
from tests.vectors import VECTORS

ORDERS = 1500
"""Of so many other orders of the parts one is tried."""
KEY = "b53e40fb-73d9-3A3C-91b0-89f7f6bc9ffb"


class Signed(NamedTuple):
    """A signature and what it is made of."""

    kind: str
    key: str
    values: dict[str, str]
    signature: str

    def computation(self) -> tuple[ControlKey, Computation]:
        key, kind = parse_control_key(self.key), KINDS[self.kind]
        parts = [(name, self.values[name]) for name in kind.parts]
        return key, control_computation(key, parts, kind.key) if kind.key else hmac_computation(key, parts)


def signed(vector: dict[str, Any]) -> Iterator[Signed]:
    """Return the four signatures of a worked example."""
    callback = vector["callback"]
    values = {
        "session.accessToken": vector["accessToken"],
        "consumer.device.serialNumber": vector["serialNumber"],
        "endpointId": vector["endpointId"],
        "session.nonce": vector["nonce"],
        "invoiceId": vector["invoiceId"],
        "transaction.amountCentis": str(vector["amountCentis"]),
        "transaction.currency": vector["currency"],
        "sourceOfFunds.reference.serverCardId": vector["serverCardId"] or "",
        **{name: callback[name] for name in ("status", "orderid", "client_orderid")},
    }
    signatures = {
        "session": vector["signature"],
        "check": vector["checkSignature"],
        "notification": vector["notificationCheckSignature"],
        "callback": callback["control"],
    }
    yield from (Signed(kind, vector["controlKey"], values, signature) for kind, signature in signatures.items())


ENTER = """(values) => {
    for (const [id, value] of Object.entries(values)) {
        const field = document.getElementById(id);
        field.value = value;
        field.dispatchEvent(new Event("input", { bubbles: true }));
    }
}"""


async def enter(page: Page, entered: Signed) -> None:
    """Choose a signature, and type its parts and the key."""
    await page.locator(f"input[value={entered.kind}]").check()
    parts = {f"{entered.kind}-{name}": entered.values[name] for name in KINDS[entered.kind].parts}
    await page.evaluate(ENTER, {**parts, "control-key": entered.key})


@pytest.mark.anyio
async def test_the_worked_examples_of_the_contract_are_met(page: Page) -> None:
    await page.goto("/docs/signatures")
    for example in chain.from_iterable(map(signed, VECTORS[:2])):
        await enter(page, example)
        await page.get_by_label("Paste the one that you have").fill(example.signature)

        await expect(page.locator("#signature")).to_have_text(example.signature)
        await expect(page.locator("#verdict")).to_have_text("It matches.")
        shown = await page.locator("#string mark").evaluate_all("all => all.map(one => [one.title, one.textContent])")
        key = [[KINDS[example.kind].key, example.key]] if KINDS[example.kind].key else []
        assert shown == [[name, example.values[name]] for name in KINDS[example.kind].parts] + key


VALUES = {
    "session.accessToken": "57a99669ea07430ea689c2e640e43c1a5fab762d8897c0d4aed5f110c85a1c38",
    "consumer.device.serialNumber": ' Й-№7 "é" & e\u0301 ',
    "endpointId": "6794",
    "session.nonce": "c32aed95401a9f6ea4de0051bacd7705",
    "invoiceId": "e0e927f7-ff16-909d-ea77-0a44231961c4",
    "transaction.amountCentis": "1040",
    "transaction.currency": "RUB",
    "sourceOfFunds.reference.serverCardId": "5446561345422188355",
    "status": "approved",
    "orderid": "873646128",
    "client_orderid": "e0e927f7-ff16-909d-ea77-0a44231961c6",
}
BY_KIND = {kind: Signed(kind, KEY, VALUES, "") for kind in KINDS}
PASTE_ALL = """async (pasted) => {
    const field = document.getElementById("pasted"), verdict = document.getElementById("verdict"), told = [];
    for (const signature of pasted) {
        field.value = signature;
        const changed = new Promise((resolve, reject) => {
            setTimeout(() => reject(new Error(`nothing is told of ${signature}`)), 30000);
            const observer = new MutationObserver(() => { observer.disconnect(); resolve(); });
            observer.observe(verdict, { childList: true });
        });
        field.dispatchEvent(new Event("input", { bubbles: true }));
        await changed;
        told.push([...verdict.querySelectorAll("li")].map((item) => [item.dataset.mistake, item.textContent]));
    }
    return told;
}"""


def mistakes_of(example: Signed) -> list[tuple[Mistake, str]]:
    found = list(wrong_signatures(*example.computation()))
    orders = [each for each in found if each[0].id == "order_other"]
    return [each for each in found if each[0].id != "order_other"] + orders[::ORDERS]


def words(mistake: Mistake) -> list[str]:
    return [mistake.id, MISTAKES[mistake.id].format(*mistake.details)]


@pytest.mark.anyio
@pytest.mark.parametrize("kind", KINDS)
async def test_the_page_names_every_mistake_as_the_command_line_does(page: Page, kind: str) -> None:
    await page.goto("/docs/signatures")
    await enter(page, BY_KIND[kind])
    expected = mistakes_of(BY_KIND[kind])

    told = await page.evaluate(PASTE_ALL, [signature for _, signature in expected])

    assert told == [[words(mistake)] for mistake, _ in expected]


def test_every_mistake_that_has_words_is_made_here() -> None:
    made = {mistake.id for example in BY_KIND.values() for mistake, _ in mistakes_of(example)}

    assert made == MISTAKES.keys()


@pytest.mark.anyio
async def test_two_mistakes_at_once_are_named_as_well(page: Page) -> None:
    key, computation = BY_KIND["session"].computation()
    single = dict(wrong_signatures(key, computation))
    amount = tuple(
        (name, "10.40" if name == "transaction.amountCentis" else value) for name, value in computation.parts
    )
    lower = tuple((name, "rub" if name == "transaction.currency" else value) for name, value in amount)
    both = Computation(lower, key.bytes, computation.digest).result().hex()
    await page.goto("/docs/signatures")
    await enter(page, BY_KIND["session"])

    told = await page.evaluate(PASTE_ALL, [both, "0" * 40])

    found = explain(both, key, computation)
    assert found == (Mistake("amount_major"), Mistake("part_lower", ("transaction.currency",)))
    assert told[0] == [words(mistake) for mistake in found]
    assert explain("0" * 40, key, computation) is None
    assert told[1][0][1].startswith("No single mistake")
    assert both not in single.values()


@pytest.mark.anyio
async def test_the_control_key_leaves_the_page_in_no_way(page: Page) -> None:
    await page.goto("/docs/signatures")
    await enter(page, BY_KIND["session"])
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request))  # noqa: PLW0108  # it has to be a function

    await page.get_by_label("As the provider writes it").fill("")
    await page.get_by_label("As the provider writes it").press_sequentially(KEY)
    await page.get_by_label("As the provider writes it").press("Enter")
    await page.get_by_label("Paste the one that you have").fill("0" * 40)
    await expect(page.locator("#verdict")).to_contain_text("No single mistake")

    assert sent == []
    kept = await page.evaluate(
        "[location.href, document.cookie, {...localStorage}, {...sessionStorage}, history.state]"
    )
    assert re.sub("[^0-9a-z]", "", KEY.lower()) not in re.sub("[^0-9a-z]", "", str(kept).lower())
    assert kept[1:] == ["", {}, {}, None]


@pytest.mark.anyio
async def test_a_page_that_may_not_compute_says_so(page: Page, server: Program) -> None:
    await page.goto(f"http://{OTHER_HOST}:{str(server.http).rpartition(':')[2]}/docs/signatures")

    await expect(page.locator(".insecure")).to_contain_text("Open it by HTTPS")
    await expect(page.locator("form")).to_be_hidden()


@pytest.mark.anyio
async def test_a_key_that_is_none_is_told_in_words(page: Page) -> None:
    await page.goto("/docs/signatures")
    key = page.get_by_label("As the provider writes it")

    await key.fill("not a key")

    await expect(page.locator("#verdict")).to_contain_text("pairs of hexadecimal digits")
    await expect(key).to_have_attribute("aria-invalid", "true")


@pytest.mark.anyio
async def test_of_nothing_no_signature_is_made(page: Page) -> None:
    await page.goto("/docs/signatures")

    await page.get_by_label("As the provider writes it").fill(KEY)
    await expect(page.locator("#signature")).to_have_text("Type the parts first.")
    await expect(page.locator("#verdict")).to_have_text("Type the parts first.")

    await enter(page, BY_KIND["callback"])
    await expect(page.locator("#signature")).to_have_text(re.compile("^[0-9a-f]{40}$"))


@pytest.mark.anyio
async def test_what_is_no_signature_is_told_to_be_none(page: Page) -> None:
    await page.goto("/docs/signatures")
    await enter(page, BY_KIND["notification"])

    await page.get_by_label("Paste the one that you have").fill("zz")

    await expect(page.locator("#verdict")).to_have_text("This is no signature: it has to be 40 hexadecimal digits.")


def test_no_script_stores_anything_or_reads_html() -> None:
    for script in Path("gateway/pages/assets").glob("*.js"):
        assert not re.search(r"localStorage|sessionStorage|indexedDB|cookie|innerHTML|eval\(", script.read_text()), (
            script
        )
