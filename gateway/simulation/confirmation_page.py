"""The page to which a sale sends the consumer, filled in by a program."""

import asyncio
import time
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx2

from gateway.parties.exchanges import Exchange, NotUnderstood, Unreachable
from gateway.parties.receiving import receive

_TIMES_THE_TIMEOUT = 2


class ConfirmationPage:
    """Opens pages and presses a button there.

    Args:
        timeout_seconds: to wait for an answer.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self._most_seconds = _TIMES_THE_TIMEOUT * timeout_seconds
        self._client = httpx2.AsyncClient(timeout=timeout_seconds, trust_env=False, follow_redirects=True)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def press(self, url: str, button: str) -> Exchange:
        """Open a page and press a button of its form.

        Args:
            url: of the page.
            button: value of the button.

        Returns:
            How the form was posted; its answer is a page, so there is no document.

        Raises:
            NotUnderstood: there is no such button.
            Unreachable: nothing came back in time.
        """
        try:
            async with asyncio.timeout(self._most_seconds):
                return await self._press(url, button)
        except TimeoutError:
            raise Unreachable(url, "no answer in time") from None
        except (httpx2.RequestError, httpx2.InvalidURL) as error:
            raise Unreachable(url, str(error) or type(error).__name__) from None

    async def _press(self, url: str, button: str) -> Exchange:
        form = _Form()
        page = await receive(self._client, "GET", url)
        form.feed(page.body.decode(errors="replace"))
        name = form.buttons.get(button)
        if name is None:
            raise NotUnderstood(f"{url} has no button {button!r}: open it in a browser, and confirm there")
        fields = {**form.fields, name: button}
        target = urljoin(str(page.url), form.action)
        begun = time.perf_counter()
        answer = await receive(self._client, "POST", target, data=fields)
        return Exchange("POST", target, fields, answer.status, None, time.perf_counter() - begun)


class _Form(HTMLParser):
    """The form of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.buttons: dict[str, str] = {}
        """Names by values."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser`."""
        found = {name: value or "" for name, value in attrs}
        name, value = found.get("name", ""), found.get("value", "")
        if tag == "form":
            self.action = found.get("action", "")
        elif name and (tag == "button" or found.get("type") == "submit"):
            self.buttons[value] = name
        elif name and tag == "input":
            self.fields[name] = value
