"""Durable storage of sessions: what every store promises, whatever its engine.

Each method is one atomic step, and what it wrote is durable (on the disk) when it returns.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class IdentifierTaken(Exception):
    """Another sale has this invoice id or nonce already. Nothing was stored."""


@dataclass(frozen=True, slots=True)
class Sale:
    """A sale and its session, as they are stored."""

    invoice_id: str
    endpoint_id: str
    access_token_hash: bytes
    """SHA-256 of the consumer's access token, 32 bytes."""
    serial_number: str
    imei: str | None
    ip_addresses: tuple[str, ...]
    lat: float | None
    lng: float | None
    amount_centis: int
    currency: str
    nonce: str
    signature: str
    initiated_at: datetime
    expires_at: datetime
    """From then on a first check is refused."""
    session_token: str | None = None
    """The payment gateway's token, once the first check has bound it."""
    checked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredAccessToken:
    """An access token, as it is stored."""

    hash: bytes
    """SHA-256 of it, 32 bytes."""
    endpoint_id: str | None
    """The endpoint that it is bound to."""
    issued_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class IdempotencyRecord:
    """Which session a request with an idempotency key opened."""

    access_token_hash: bytes
    """The key counts for this token only."""
    idempotency_key: str
    request_hash: bytes
    """SHA-256 of the request, 32 bytes."""
    invoice_id: str
    expires_at: datetime
    """From then on the key can be used anew."""


class Store(Protocol):
    """Stores sales, access tokens and idempotency records.

    Every method raises `service.errors.StoreUnavailable` when the store can't be read or written.
    """

    async def open_session(self, sale: Sale, record: IdempotencyRecord | None) -> IdempotencyRecord | None:
        """Store a new sale, and with it the record of its idempotency key if it has one.

        Args:
            sale: the sale.
            record: the record; a stored one with the same token and key, not expired at `sale.initiated_at`, wins.

        Returns:
            None if the sale was stored; otherwise the record that won, and nothing was stored.

        Raises:
            IdentifierTaken: the invoice id or the nonce is not new.
        """

    async def find_sale(self, invoice_id: str) -> Sale | None:
        """Return the sale with this invoice id, if there is one."""

    async def bind_check(self, invoice_id: str, session_token: str, checked_at: datetime) -> str:
        """Bind the payment gateway's session token to a sale, unless one is bound already.

        Args:
            invoice_id: a stored sale's.
            session_token: the token of this check.
            checked_at: when it was checked.

        Returns:
            The token that is bound now: of several that race, all are told the same one.
        """

    async def find_idempotency_record(
        self, access_token_hash: bytes, idempotency_key: str, now: datetime
    ) -> IdempotencyRecord | None:
        """Return the record of this token and key that is not expired, if there is one."""

    async def add_access_token(self, token: StoredAccessToken) -> None:
        """Store a new access token."""

    async def find_access_token(self, hash: bytes) -> StoredAccessToken | None:
        """Return the access token with this SHA-256, if there is one."""

    async def revoke_access_token(self, hash: bytes, revoked_at: datetime) -> None:
        """Mark an access token as revoked. An unknown or already revoked one stays as it is."""

    async def ping(self) -> None:
        """Return when the store can be written."""

    async def close(self) -> None:
        """Finish what was begun and let go of the store. No other method may be called after it."""
