"""The page to which a sale sends the consumer, filled in by a program."""

from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx2

from gateway.parties.exchanges import Exchange, NotUnderstood, Unreachable


class ConfirmationPage:
    """Opens pages and presses a button there.

    Args:
        timeout_seconds: to wait for an answer.
    """

    def __init__(self, timeout_seconds: float) -> None:
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
        form = _Form()
        try:
            page = await self._client.get(url)
            form.feed(page.text)
            name = form.buttons.get(button)
            if name is None:
                raise NotUnderstood(f"{url} has no button {button!r}: open it in a browser, and confirm there")
            fields = {**form.fields, name: button}
            target = urljoin(str(page.url), form.action)
            answer = await self._client.post(target, data=fields)
        except (httpx2.RequestError, httpx2.InvalidURL) as error:
            raise Unreachable(url, str(error) or type(error).__name__) from None
        return Exchange("POST", target, fields, answer.status_code, None, answer.elapsed.total_seconds())


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
