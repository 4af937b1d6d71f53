"""Signatures of the contract: HMAC-SHA1 over parts joined without a separator. Pure functions of strings and keys.

That nothing separates the parts is the provider's wire format. What neutralises it is said where the parts are made
(`identifiers`, `endpoints`) and where they are compared (`sales`).
"""

import hmac
from typing import NewType

ControlKey = NewType("ControlKey", bytes)
"""An endpoint's control key: its hexadecimal form without dashes, as bytes."""


def parse_control_key(text: str) -> ControlKey:
    """Read a control key as the provider writes it.

    Args:
        text: hexadecimal digits, with or without dashes, of 16 bytes at least.

    Returns:
        The key.

    Raises:
        ValueError: it is not one; the message does not hold it.
    """
    try:
        key = bytes.fromhex(text.strip().replace("-", ""))
    except ValueError:
        raise ValueError("must be hexadecimal digits and dashes") from None
    if len(key) < 16:
        raise ValueError("must have 32 hexadecimal digits at least")
    return ControlKey(key)


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


def _sign(key: ControlKey, *parts: str) -> str:
    return hmac.digest(key, "".join(parts).encode(), "sha1").hex().upper()


def same(one: str, other: str) -> bool:
    """Tell in constant time whether two strings are the same bytes in UTF-8."""
    return hmac.compare_digest(one.encode(), other.encode())


def same_signature(one: str, other: str) -> bool:
    """Tell in constant time whether two signatures are the same hexadecimal digits, in whatever case."""
    return hmac.compare_digest(one.encode().lower(), other.encode().lower())
