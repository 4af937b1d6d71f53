"""Secrets that can be told apart, and a search for them in whatever form."""

import base64
import secrets
from urllib.parse import quote


def card_number() -> str:
    """Return a card number that nobody has: sixteen digits, the last one by the Luhn formula."""
    digits = f"4{secrets.randbelow(10**14):014}"
    doubled = (int(digit) * (2 - position % 2) for position, digit in enumerate(reversed(digits)))
    return f"{digits}{-sum(number // 10 + number % 10 for number in doubled) % 10}"


def forms_of(value: str) -> set[bytes]:
    """Return how a value could be written."""
    raw = [value.encode()]
    if all(character in "0123456789abcdefABCDEF-" for character in value) and len(value.replace("-", "")) % 2 == 0:
        raw += [bytes.fromhex(value.replace("-", "")), value.replace("-", "").encode()]
    forms: set[bytes] = set()
    for data in raw:
        # Base64 of something in which it stands begins at one of three places.
        encoded = [base64.b64encode(b"x" * shift + data)[4 if shift else 0 : -4] for shift in range(3)]
        forms |= {data, data.hex().encode(), data.hex().upper().encode(), quote(data, safe="").encode(), *encoded}
        forms |= {form.replace(b"+", b"-").replace(b"/", b"_") for form in encoded}
    forms |= {value.lower().encode(), value.upper().encode()}
    return {form for form in forms if len(form) >= 8}


def found(canaries: dict[str, str], data: bytes) -> set[str]:
    """Return the names of those that stand in some data, however written."""
    return {name for name, value in canaries.items() if any(form in data for form in forms_of(value))}
