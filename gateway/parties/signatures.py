"""Signatures as the payment gateway computes them: written apart from the service, which they are there to question.

Every key is a control key as the provider writes it: pairs of hexadecimal digits, with or without dashes.
"""

import hashlib
import hmac


def session_signature(
    control_key: str,
    *,
    access_token: str,
    serial_number: str,
    endpoint_id: str,
    nonce: str,
    invoice_id: str,
    amount_centis: int,
    currency: str,
) -> str:
    """Return `session.signature` of initiate sale: 40 hexadecimal digits in upper case.

    Raises:
        ValueError: the key is not one; the message does not hold it.
    """
    return _hmac_sha1(
        control_key, access_token, serial_number, endpoint_id, nonce, invoice_id, str(amount_centis), currency
    )


def check_signature(
    control_key: str, *, serial_number: str, nonce: str, endpoint_id: str, invoice_id: str, server_card_id: str = ""
) -> str:
    """Return `session.checkSignature` of check sale: 40 hexadecimal digits in upper case.

    Raises:
        ValueError: the key is not one; the message does not hold it.
    """
    return _hmac_sha1(control_key, serial_number, nonce, endpoint_id, invoice_id, server_card_id)


def notification_signature(control_key: str, *, nonce: str, endpoint_id: str, invoice_id: str) -> str:
    """Return `session.checkSignature` of the card mapping notification: 40 hexadecimal digits in upper case.

    Raises:
        ValueError: the key is not one; the message does not hold it.
    """
    return _hmac_sha1(control_key, nonce, endpoint_id, invoice_id)


def callback_control(control_key: str, *, status: str, orderid: str, client_orderid: str) -> str:
    """Return `control` of the callback: SHA-1 with the key as it is written, 40 hexadecimal digits in lower case."""
    joined = f"{status}{orderid}{client_orderid}{control_key}"
    return hashlib.sha1(joined.encode(), usedforsecurity=False).hexdigest()


def same_signature(one: str, other: str) -> bool:
    """Tell in constant time whether two signatures are the same hexadecimal digits, in whatever case."""
    return hmac.compare_digest(one.encode().lower(), other.encode().lower())


def _hmac_sha1(control_key: str, *parts: str) -> str:
    try:
        key = bytes.fromhex(control_key.replace("-", ""))
    except ValueError:
        raise ValueError("a control key must be pairs of hexadecimal digits, and dashes") from None
    return hmac.digest(key, "".join(parts).encode(), "sha1").hex().upper()
