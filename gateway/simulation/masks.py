"""What is shown of a document: card numbers never whole, secrets by their beginning."""

from collections.abc import Mapping
from typing import Any

_SECRETS = frozenset({"accessToken", "nonce", "signature", "token", "checkSignature"})
_SHOWN = 8


def masked(document: Any, *, shows_secrets: bool) -> Any:
    """Return a copy of a document for people to read.

    Args:
        document: JSON.
        shows_secrets: whether tokens, nonces and signatures are left whole; card numbers never are.
    """
    if isinstance(document, Mapping):
        return {name: _masked_member(name, value, shows_secrets=shows_secrets) for name, value in document.items()}
    if isinstance(document, list):
        return [masked(value, shows_secrets=shows_secrets) for value in document]
    return document


def masked_number(number: str) -> str:
    """Return a card number with its first six and last four digits only."""
    return f"{number[:6]}{'*' * (len(number) - 10)}{number[-4:]}"


def _masked_member(name: str, value: Any, *, shows_secrets: bool) -> Any:
    if name == "number" and isinstance(value, str):
        return masked_number(value)
    if name == "securityCode":
        return "***"
    if name in _SECRETS and isinstance(value, str) and not shows_secrets:
        return f"{value[:_SHOWN]}…"
    return masked(value, shows_secrets=shows_secrets)
