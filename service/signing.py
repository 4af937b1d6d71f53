"""Signatures and checksums of the contract, over parts joined without a separator. Pure functions of strings and keys.

That nothing separates the parts is the provider's wire format. What neutralises it is said where the parts are made
(`identifiers`, `endpoints`) and where they are compared (`sales`).
"""

import hashlib
import hmac
import re
from dataclasses import dataclass, field

_WRITTEN_KEY = re.compile(r"[0-9A-Fa-f-]+")
_MIN_KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class ControlKey:
    """An endpoint's control key, as the provider writes it and as bytes."""

    written: str = field(repr=False)
    """Hexadecimal digits, with or without dashes."""
    bytes: bytes = field(repr=False)
    """The digits decoded, without dashes."""


def parse_control_key(text: str) -> ControlKey:
    """Read a control key as the provider writes it.

    Args:
        text: hexadecimal digits, with or without dashes, of 16 bytes at least.

    Returns:
        The key.

    Raises:
        ValueError: it is not one; the message does not hold it.
    """
    written = text.strip()
    digits = written.replace("-", "")
    if _WRITTEN_KEY.fullmatch(written) is None or len(digits) % 2:
        raise ValueError("must be pairs of hexadecimal digits, and dashes")
    if len(digits) < 2 * _MIN_KEY_BYTES:
        raise ValueError(f"must have {2 * _MIN_KEY_BYTES} hexadecimal digits at least")
    return ControlKey(written, bytes.fromhex(digits))


def session_signature(
    key: ControlKey,
    *,
    access_token: str,
    serial_number: str,
    endpoint_id: str,
    nonce: str,
    invoice_id: str,
    amount_centis: int,
    currency: str,
) -> str:
    """Return `session.signature` of initiate sale (seed 000: Signature computation).

    Returns:
        40 hexadecimal digits in upper case, as the payment gateway's own server writes them.
    """
    return _sign(key, access_token, serial_number, endpoint_id, nonce, invoice_id, str(amount_centis), currency)


def check_signature(
    key: ControlKey,
    *,
    serial_number: str,
    nonce: str,
    endpoint_id: str,
    invoice_id: str,
    server_card_id: str = "",
) -> str:
    """Return `session.checkSignature` of check sale (seed 004).

    Args:
        key: the endpoint's control key.
        serial_number: the device's.
        nonce: the session's.
        endpoint_id: the sale's.
        invoice_id: the sale's.
        server_card_id: the card's, if one is in the answer.

    Returns:
        40 hexadecimal digits in upper case.
    """
    return _sign(key, serial_number, nonce, endpoint_id, invoice_id, server_card_id)


def notification_signature(key: ControlKey, *, nonce: str, endpoint_id: str, invoice_id: str) -> str:
    """Return `session.checkSignature` of the card mapping notification.

    Returns:
        40 hexadecimal digits in upper case.
    """
    return _sign(key, nonce, endpoint_id, invoice_id)


def callback_control(key: ControlKey, *, status: str, orderid: str, client_orderid: str) -> str:
    """Return `control` of the final-status callback: no HMAC, but SHA-1 over the parts and the key as it is written.

    Characters that move between status and orderid leave it the same. None of the words for `status` that mean anything
    begins with another, so what is moved so means nothing; `client_orderid` has a fixed length and can lend nothing.

    Returns:
        40 hexadecimal digits in lower case.
    """
    joined = status + orderid + client_orderid + key.written
    return hashlib.sha1(joined.encode(), usedforsecurity=False).hexdigest()


def _sign(key: ControlKey, *parts: str) -> str:
    return hmac.digest(key.bytes, "".join(parts).encode(), "sha1").hex().upper()


def same(one: str, other: str) -> bool:
    """Tell in constant time whether two strings are the same bytes in UTF-8."""
    return hmac.compare_digest(one.encode(), other.encode())


def same_signature(one: str, other: str) -> bool:
    """Tell in constant time whether two signatures are the same hexadecimal digits, in whatever case."""
    return hmac.compare_digest(one.encode().lower(), other.encode().lower())
