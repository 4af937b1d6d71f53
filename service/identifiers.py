"""The identifiers that we make, in forms that leave a signature only one reading.

A signature joins its parts without a separator, so characters could move from one part to its neighbour. Every part
made here has a fixed length, the nonce begins with a letter (no digit of the endpoint id can join it) and the invoice
id ends with one (no digit of it can join the amount).
"""

import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NewType
from uuid import UUID

InvoiceId = NewType("InvoiceId", str)
ClientCardId = NewType("ClientCardId", str)
Nonce = NewType("Nonce", str)
AccessToken = NewType("AccessToken", str)

Clock = Callable[[], datetime]
"""Tells the time as an aware datetime in UTC."""
Randomness = Callable[[int], bytes]
"""Gives so many bytes from a cryptographically secure source (`secrets.token_bytes`)."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_HEX_LETTERS = "abcdef"
_INVOICE_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{11}[a-f]")
_NONCE = re.compile(r"[a-f][0-9a-f]{63}")


def utc_now() -> datetime:
    """Return the system's time in UTC."""
    return datetime.now(UTC)


def microseconds(moment: datetime) -> int:
    """Return whole microseconds since 1970-01-01 UTC, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def from_microseconds(count: int) -> datetime:
    """Return the moment so many microseconds after 1970-01-01 UTC."""
    return _EPOCH + count * _MICROSECOND


def new_invoice_id(now: datetime, randomness: Randomness) -> InvoiceId:
    """Make a UUID of version 7 whose last digit is a letter.

    Args:
        now: the time that leads the id, so that ids made one after the other lie together in an index.
        randomness: source of the other bits.

    Returns:
        36 characters in lower case.
    """
    random = int.from_bytes(randomness(9))
    return InvoiceId(_uuid(now, (random >> 8) & ~0xF)[:-1] + _letter(random & 0xFF))


def new_client_card_id(now: datetime, randomness: Randomness) -> ClientCardId:
    """Make a UUID of version 7.

    Args:
        now: the time that leads the id.
        randomness: source of the other bits.

    Returns:
        36 characters in lower case.
    """
    return ClientCardId(_uuid(now, int.from_bytes(randomness(8))))


def new_audit_entry_id(now: datetime, randomness: Randomness) -> str:
    """Make a UUID of version 7, as `new_client_card_id` does."""
    return _uuid(now, int.from_bytes(randomness(8)))


def first_uuid(moment: datetime) -> str:
    """Return what every id made before this moment is smaller than, and none that is made then or later."""
    return _uuid(max(moment, _EPOCH), 0)


def _uuid(now: datetime, random: int) -> str:
    # The 12 bits after the milliseconds hold their fraction (RFC 9562, section 6.2, method 3): a larger microsecond
    # makes a larger id.
    milliseconds, rest = divmod(microseconds(now), 1000)
    value = milliseconds << 80 | 0x7 << 76 | (rest * 4096 // 1000) << 64 | 0b10 << 62
    return str(UUID(int=value | random & ((1 << 62) - 1)))


def new_nonce(randomness: Randomness) -> Nonce:
    """Make a nonce: 64 hexadecimal digits (254 random bits), the first one a letter."""
    digits = randomness(33).hex()
    return Nonce(_letter(int(digits[:2], 16)) + digits[3:])


def may_be_invoice_id(text: str) -> bool:
    """Tell whether a text has the form of the invoice ids made here."""
    return _INVOICE_ID.fullmatch(text) is not None


def are_of_ours(invoice_id: str, nonce: str) -> bool:
    """Tell whether an invoice id and a nonce have the forms made here, which can lend and take no character."""
    return may_be_invoice_id(invoice_id) and _NONCE.fullmatch(nonce) is not None


def new_access_token(randomness: Randomness) -> AccessToken:
    """Make an access token: 64 hexadecimal digits (256 random bits)."""
    return AccessToken(randomness(32).hex())


def hash_access_token(access_token: str) -> bytes:
    """Return the SHA-256 of an access token (32 bytes): the only form in which one is stored."""
    return hashlib.sha256(access_token.encode()).digest()


def _letter(byte: int) -> str:
    return _HEX_LETTERS[byte % len(_HEX_LETTERS)]
