"""A server in development mode and a real browser, for all that looks at pages."""

import os
import shutil
from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

from tests.running import ANY_PORT, Program, running

CHROMIUM = shutil.which("chromium")
OTHER_HOST = "sale.example"
"""Leads to this host as well, but is no host that a browser trusts without encryption."""
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    f"--host-resolver-rules=MAP {OTHER_HOST} 127.0.0.1",
)
MISSING = "Debian's package chromium is not installed: make needs-chromium"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The server as a newcomer starts it."""
    folder = tmp_path_factory.mktemp("pages")
    store = f"--store=sqlite:///{folder / 'dev.db'}"
    arguments = ["sale-service", "serve", "--dev", f"--http={ANY_PORT}", f"--grpc={ANY_PORT}", store]
    with running(arguments, folder / "log", key=None) as program:
        yield program


@pytest.fixture(scope="session")
async def browser(one_event_loop: None) -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        if "CI" in os.environ:
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        await started.close()


@pytest.fixture
def faults() -> list[str]:
    """What a page complains about: errors of its scripts, and what its policy forbids. None may be left at the end."""
    return []


@pytest.fixture
async def page(browser: Browser, server: Program, faults: list[str]) -> AsyncIterator[Page]:
    """A page of a browser of its own, which remembers nothing."""
    context = await browser.new_context(base_url=f"http://{server.http}")
    opened = await context.new_page()
    opened.set_default_timeout(10_000)

    def note(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            faults.append(message.text)

    opened.on("console", note)
    opened.on("pageerror", lambda error: faults.append(str(error)))
    yield opened
    await context.close()
    assert faults == []
