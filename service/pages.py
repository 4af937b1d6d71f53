"""Opaque tokens with which a list, or a stream, goes on where it ended."""

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from typing import NamedTuple

from service.errors import FieldViolation, SaleError

DEFAULT_SIZE = 50
MAX_SIZE = 500
_HASH_BYTES = 8
_CURSOR_BYTES = 8


class Page(NamedTuple):
    """Where a page begins, and how long it can be."""

    before: str | None
    """The id of the last record of the page before; None for the first page."""
    size: int


def page_of(token: str | None, size: int, *filters: object) -> Page:
    """Read the token and the size that a caller sent.

    Args:
        token: what `next_token` made; None or empty for the first page.
        size: how many records the caller wants; 0 for the usual number.
        filters: what is listed, of types that JSON has.

    Raises:
        SaleError: `ERROR_REASON_INVALID_FIELD`, the token is not one, or is of another list.
    """
    size = min(size or DEFAULT_SIZE, MAX_SIZE)
    if not token:
        return Page(None, size)
    data = _decode(token) or b""
    before = data[_HASH_BYTES:].decode("latin-1")
    if data[:_HASH_BYTES] != _hash(before, filters):
        raise not_a_page_token()
    return Page(before, size)


def not_a_page_token() -> SaleError:
    """Return the refusal of a page token that this server has not made for the list."""
    return SaleError.invalid_fields([FieldViolation("pageToken", "is not the nextPageToken of this list")])


def next_token(last: str | None, *filters: object) -> str:
    """Return the token of the page that follows.

    Args:
        last: the id up to which this page goes; None if nothing follows.
        filters: as of `page_of`.

    Returns:
        The token; empty if nothing follows.
    """
    return "" if last is None else _encode(_hash(last, filters) + last.encode())


def cursor_of(position: int) -> str:
    """Return the token of a position in a stream."""
    return _encode(position.to_bytes(_CURSOR_BYTES))


def position_of(cursor: str) -> int:
    """Read a cursor.

    Raises:
        SaleError: `ERROR_REASON_INVALID_FIELD`, it is not one.
    """
    data = _decode(cursor)
    if data is None or len(data) != _CURSOR_BYTES or (position := int.from_bytes(data)) >= 2**63:
        raise SaleError.invalid_fields([FieldViolation("cursor", "is not a cursor of this stream")])
    return position


def _hash(id: str, filters: Sequence[object]) -> bytes:
    return hashlib.sha256(json.dumps([id, filters]).encode()).digest()[:_HASH_BYTES]


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(token: str) -> bytes | None:
    try:
        return base64.b64decode(token.encode() + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
