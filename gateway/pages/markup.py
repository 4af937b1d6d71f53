"""HTML as text: whatever is not markup already is escaped."""

from collections.abc import Iterable
from html import escape

_EMPTY = frozenset({"input", "link", "meta"})
"""Elements that have no end tag."""


class Markup(str):
    """Text that is HTML."""

    __slots__ = ()


Content = str | Iterable["Content"] | None
"""What stands in an element: text, which is escaped, markup, or several of them."""
Attribute = str | int | bool | None
"""The value of an attribute; one that is False or None is left out, of one that is True there is the name only."""


def element(name: str, *content: Content, **attributes: Attribute) -> Markup:
    """Return an element.

    Args:
        name: of its tag.
        content: what stands in it.
        attributes: `_` stands for `-` in their names, and one at the end for nothing: `class_`, `aria_live`.
    """
    start = "".join(map(_attribute, attributes, attributes.values()))
    return Markup(f"<{name}{start}>" if name in _EMPTY else f"<{name}{start}>{joined(content)}</{name}>")


def joined(content: Content) -> Markup:
    """Return content as markup."""
    if content is None:
        return Markup()
    if isinstance(content, Markup):
        return content
    return Markup(escape(content) if isinstance(content, str) else "".join(map(joined, content)))


def _attribute(name: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    written = name.rstrip("_").replace("_", "-")
    return f" {written}" if value is True else f' {written}="{escape(str(value))}"'
