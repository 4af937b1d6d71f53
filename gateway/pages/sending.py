"""Answers with pages and what belongs to them, which a browser is told to keep to itself."""

from starlette.types import Scope, Send

from gateway.http_messages import send_content

_HTML = b"text/html; charset=utf-8"
_PROTECTED = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
)
"""A page loads from here only, sends to here only, and nothing of it is run that stands in the page itself."""


async def send_page(scope: Scope, send: Send, html: bytes) -> None:
    """Send a page.

    Args:
        scope: of the request.
        send: of the request.
        html: of the page.
    """
    await send_protected(scope, send, _HTML, html)


async def send_protected(scope: Scope, send: Send, content_type: bytes, content: bytes) -> None:
    """Send what a page or a part of it is.

    Args:
        scope: of the request.
        send: of the request.
        content_type: of it.
        content: what it is.
    """
    await send_content(scope, send, content_type, content, _PROTECTED)
