"""What all pages have in common."""

from collections.abc import Mapping

from gateway.openapi import Reference
from gateway.pages.markup import Content, Markup, element, joined

ASSETS = "/docs/assets"
REFERENCE, SIGNATURES, ERRORS, SALES = "/docs", "/docs/signatures", "/docs/errors", "/docs/sales"
_TITLES = {REFERENCE: "API reference", SIGNATURES: "Signature debugger", ERRORS: "Errors"}
_TITLES_IN_DEVELOPMENT = {**_TITLES, SALES: "Sales"}


def navigation(*, development: bool) -> Mapping[str, str]:
    """Return the titles of the pages by their paths.

    Args:
        development: whether those of development mode are there too.
    """
    return _TITLES_IN_DEVELOPMENT if development else _TITLES


def page(
    title: str, *content: Content, pages: Mapping[str, str], current: str | None = None, script: str | None = None
) -> bytes:
    """Return a page.

    Args:
        title: of it.
        content: of its main part, under the title.
        pages: those to be led to, as `navigation` returns them.
        current: which of them this one is.
        script: name of its module among the assets, if it has one.
    """
    body = [
        element("a", "Skip to the content", href="#content", class_="skip"),
        element("header", element("p", "Sales", class_="product"), _navigation(pages, current)),
        element("main", element("h1", title), *content, id="content", tabindex="-1"),
    ]
    return f"<!DOCTYPE html>\n{element('html', _head(title, script), element('body', body), lang='en')}\n".encode()


def _head(title: str, script: str | None) -> Markup:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name_="color-scheme", content="light dark"),
        element("title", f"{title} · Sales"),
        element("link", rel="icon", href=f"{ASSETS}/icon.svg", type="image/svg+xml"),
        element("link", rel="stylesheet", href=f"{ASSETS}/style.css"),
        script and element("script", src=f"{ASSETS}/{script}", type="module"),
    )


def _navigation(pages: Mapping[str, str], current: str | None) -> Markup:
    links = [
        element("li", element("a", title, href=path, aria_current="page" if path == current else None))
        for path, title in pages.items()
    ]
    links.append(element("li", element("a", "openapi.json", href=Reference.path)))
    return element("nav", element("ul", links), aria_label="Pages")


def code_block(text: str) -> Markup:
    """Return text as it is written, which can be scrolled by keyboard where it is too wide."""
    return element("pre", element("code", text), tabindex="0")


def anchored(name: str, title: Content, id: str) -> Markup:
    """Return a heading that leads to itself.

    Args:
        name: of its tag.
        title: what stands in it.
        id: the anchor.
    """
    return element(name, joined(title), " ", element("a", "#", href=f"#{id}", aria_label="Link to this", class_="self"))
