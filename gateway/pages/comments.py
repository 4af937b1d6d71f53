"""Comments of the proto as HTML: what stands between backticks is code, and an error leads to what it means."""

import re

from gateway.comments import ERROR_TITLES
from gateway.pages.layout import ERRORS
from gateway.pages.markup import Content, Markup, element, joined

_TITLE = re.compile(rf"\b({'|'.join(ERROR_TITLES.values())})\b")


def prose(text: str) -> Markup:
    """Return a comment of several paragraphs."""
    return joined([element("p", _marked_up(paragraph)) for paragraph in text.split("\n\n")])


def phrase(text: str) -> Markup:
    """Return a comment of one line."""
    return joined(_marked_up(text))


def _marked_up(text: str) -> list[Content]:
    return [element("code", part) if place % 2 else _with_links(part) for place, part in enumerate(text.split("`"))]


def _with_links(text: str) -> list[Content]:
    parts = enumerate(_TITLE.split(text))
    return [element("a", part, href=f"{ERRORS}#{part.split()[0]}") if place % 2 else part for place, part in parts]
