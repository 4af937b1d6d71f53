"""Idempotency keys: a request that is sent again opens no second session."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from service.errors import ErrorReason, FieldViolation, SaleError

HEADER = "Idempotency-Key"
"""The HTTP header; in lower case the gRPC metadata. As in the IETF's draft-ietf-httpapi-idempotency-key-header."""
RETENTION = timedelta(days=31)
"""How long a key is remembered."""
MAX_LENGTH = 255


def parse_key(values: Sequence[str | bytes]) -> str | None:
    """Read the key of a request.

    Args:
        values: all that was sent under its name.

    Returns:
        The key, or None if none was sent.

    Raises:
        SaleError: `ERROR_REASON_INVALID_FIELD`, what was sent is not one key.
    """
    if not values:
        return None
    key = values[0]
    if len(values) > 1:
        fault = "must be sent once"
    elif not isinstance(key, str) or not (key.isascii() and key.isprintable()):
        fault = "must be printable ASCII characters"
    elif not 1 <= len(key) <= MAX_LENGTH:
        fault = f"must have 1 to {MAX_LENGTH} characters"
    else:
        return key
    raise SaleError.invalid_fields([FieldViolation(HEADER, fault)])


def hash_request(*fields: object) -> bytes:
    """Return the SHA-256 of what a request says (32 bytes): the same for two requests that ask for the same thing.

    Args:
        fields: the values of its fields in a fixed order, of types that JSON has.
    """
    return hashlib.sha256(json.dumps(fields).encode()).digest()


class RunningKeys:
    """The keys of the requests that run in this process.

    Requests that run in several processes at once are kept apart by the store alone: whichever it stores first is the
    one that the others are answered with.
    """

    def __init__(self) -> None:
        self._running: set[tuple[bytes, str]] = set()

    @contextmanager
    def claim(self, access_token_hash: bytes, idempotency_key: str) -> Iterator[None]:
        """Hold a key while its request runs.

        Raises:
            SaleError: `ERROR_REASON_IDEMPOTENCY_KEY_IN_USE`, another request holds it.
        """
        scoped = access_token_hash, idempotency_key
        if scoped in self._running:
            raise SaleError(ErrorReason.ERROR_REASON_IDEMPOTENCY_KEY_IN_USE, retry_after_seconds=1)
        self._running.add(scoped)
        try:
            yield
        finally:
            self._running.discard(scoped)
