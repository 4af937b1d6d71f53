"""What the head of a request must be so that every server on its way reads the same request in it."""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import unquote

import httptools

from gateway.http_answers import malformed

_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"host", b"expect"})
_VERSIONS = ("1.1", "1.0")
_MAX_DIGITS = 18


class Framing(NamedTuple):
    """What the headers say of the body that follows."""

    length: int
    """Its Content-Length; 0 if there is none."""
    expects_continue: bool
    """Whether the client waits with it until it is asked for."""


def framing_of(headers: Sequence[tuple[bytes, bytes]], version: str) -> Framing:
    """Return what headers say of the body, if there is one way only to read them (RFC 9112, 3.2 and 6.3).

    Args:
        headers: names in lower case, and values.
        version: of HTTP.

    Raises:
        GatewayError: `ERROR_REASON_MALFORMED_REQUEST`.
    """
    found = [header for header in headers if header[0] in _FRAMING]
    values = dict(found)
    if len(values) < len(found):
        raise malformed("Content-Length, Transfer-Encoding, Host or Expect is there twice.")
    if version not in _VERSIONS or (b"host" not in values and version == "1.1"):
        raise malformed("The request is not HTTP/1.1 with a Host.")
    length = values.get(b"content-length", b"0")
    if not length.isdigit() or len(length) > _MAX_DIGITS:
        raise malformed("Content-Length is not a number, or a very large one.")
    coding = values.get(b"transfer-encoding")
    if coding is not None and (b"content-length" in values or version != "1.1" or coding.lower() != b"chunked"):
        raise malformed("Transfer-Encoding is another than chunked, or beside Content-Length.")
    return Framing(int(length), values.get(b"expect", b"").lower() == b"100-continue")


def split_target(target: bytes) -> tuple[str, bytes, bytes]:
    """Split the target of a request.

    Args:
        target: in origin or absolute form, as in `/a?b` and `http://host/a?b`.

    Returns:
        The path without percent-encoding; the same as it was sent; the query.

    Raises:
        GatewayError: `ERROR_REASON_MALFORMED_REQUEST`.
    """
    path, _, query = target.partition(b"?")
    if not path.startswith(b"/"):
        try:
            parsed = httptools.parse_url(target)
        except httptools.HttpParserInvalidURLError:
            raise malformed("The target of the request is no path.") from None
        if parsed.schema is None:
            raise malformed("The target of the request is no path.")
        path, query = parsed.path or b"/", parsed.query or b""
    if not target.isascii() or b"#" in target:
        raise malformed("The target of the request has characters that have to be encoded.")
    text = path.decode("ascii")
    return unquote(text) if "%" in text else text, path, query
