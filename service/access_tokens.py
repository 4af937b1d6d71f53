"""Access tokens: with one a consumer's app initiates sales."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from service.audit import AuditAction, AuditLog
from service.endpoints import Endpoints
from service.errors import ErrorReason, FieldViolation, SaleError
from service.identifiers import AccessToken, Clock, Randomness, hash_access_token, new_access_token
from service.store import Store, StoredAccessToken

AccessTokenMode = Literal["issued", "any"]
"""`issued`: only tokens that this server issued count; `any`: every other well-formed one does too, as the merchant's
own login made it."""

DEVICE_PREFIX = "device:"
"""What the id of a consumer begins with who is known by the device only."""


@dataclass(frozen=True, slots=True)
class Authentication:
    """What an access token that counts gives its bearer."""

    access_token_hash: bytes
    """SHA-256 of the token, 32 bytes."""
    consumer_id: str
    """Who bears it."""
    endpoint_id: str | None = None
    """The endpoint that all its sales go to."""
    email: str | None = None
    """The consumer's."""


@dataclass(frozen=True, slots=True)
class Binding:
    """What an access token is issued for; None leaves it open."""

    endpoint_id: str | None = None
    """The endpoint that all its sales go to."""
    consumer_id: str | None = None
    """The consumer; otherwise that is the device of each sale."""
    email: str | None = None
    """The consumer's."""
    serial_number: str | None = None
    """The only device that may bear it."""


class AccessTokens:
    """Issues, recognises and revokes access tokens.

    Args:
        store: where they are stored, as SHA-256 only.
        endpoints: to which they can be bound.
        audit_log: what tells who has issued and revoked them.
        mode: which tokens count.
        ttl: how long an issued one is valid unless it is told otherwise.
        public: whether a consumer's app may request one itself.
        clock: the time.
        randomness: what tokens are made of.
    """

    def __init__(
        self,
        store: Store,
        endpoints: Endpoints,
        audit_log: AuditLog,
        *,
        mode: AccessTokenMode,
        ttl: timedelta,
        public: bool,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._store = store
        self._endpoints = endpoints
        self._audit_log = audit_log
        self._mode = mode
        self._ttl = ttl
        self._public = public
        self._clock = clock
        self._randomness = randomness

    async def request(self) -> AccessToken:
        """Make a token for a consumer's app that asks for one itself.

        Raises:
            SaleError: `ERROR_REASON_PATH_NOT_FOUND` where that is turned off.
        """
        if not self._public:
            raise SaleError(ErrorReason.ERROR_REASON_PATH_NOT_FOUND)
        token, _ = await self.issue()
        return token

    async def issue(self, binding: Binding = Binding(), ttl: timedelta | None = None) -> tuple[AccessToken, datetime]:
        """Make a token.

        Args:
            binding: what it is issued for.
            ttl: how long it is valid; None for the configured time.

        Returns:
            The token, which can't be read again, and when it expires.

        Raises:
            SaleError: `ERROR_REASON_INVALID_FIELD`, there is no such endpoint.
        """
        if binding.endpoint_id is not None and self._endpoints.find(binding.endpoint_id) is None:
            raise SaleError.invalid_fields([FieldViolation("endpointId", "is not a configured endpoint")])
        token = new_access_token(self._randomness)
        now = self._clock()
        expire_time = now + (self._ttl if ttl is None else ttl)
        issued = StoredAccessToken(
            hash=hash_access_token(token),
            issue_time=now,
            expire_time=expire_time,
            endpoint_id=binding.endpoint_id,
            consumer_id=binding.consumer_id,
            email=binding.email,
            serial_number=binding.serial_number,
        )
        audit = self._audit_log.entry(
            AuditAction.ACCESS_TOKEN_ISSUED,
            issued.hash.hex(),
            consumer_id=binding.consumer_id,
            endpoint_id=binding.endpoint_id,
        )
        await self._store.add_access_token(issued, audit)
        return token, expire_time

    async def authenticate(self, access_token: str, serial_number: str) -> Authentication:
        """Recognise a token.

        Args:
            access_token: as it was sent; well-formed.
            serial_number: of the device that sent it.

        Returns:
            What it gives its bearer.

        Raises:
            SaleError: `ERROR_REASON_ACCESS_TOKEN_INVALID`, it is unknown, expired, revoked or another device's.
        """
        token_hash = hash_access_token(access_token)
        token = await self._store.find_access_token(token_hash)
        if token is None or token.expire_time <= self._clock():
            if self._mode == "any":
                return Authentication(token_hash, DEVICE_PREFIX + serial_number)
            raise SaleError(ErrorReason.ERROR_REASON_ACCESS_TOKEN_INVALID)
        if token.revoke_time is not None or token.serial_number not in (None, serial_number):
            raise SaleError(ErrorReason.ERROR_REASON_ACCESS_TOKEN_INVALID)
        consumer_id = token.consumer_id or DEVICE_PREFIX + serial_number
        return Authentication(token_hash, consumer_id, token.endpoint_id, token.email)

    async def revoke(self, access_token: str) -> None:
        """Let a token count no longer. One that is unknown or already revoked is no error (as in RFC 7009)."""
        hash = hash_access_token(access_token)
        audit = self._audit_log.entry(AuditAction.ACCESS_TOKEN_REVOKED, hash.hex())
        await self._store.revoke_access_token(hash, self._clock(), audit)

    async def revoke_of_consumer(self, consumer_id: str) -> int:
        """Let all tokens of a consumer count no longer.

        Args:
            consumer_id: as they were issued for.

        Returns:
            How many there were that had counted until now.
        """
        audit = self._audit_log.entry(AuditAction.CONSUMER_TOKENS_REVOKED, consumer_id)
        return await self._store.revoke_consumer_tokens(consumer_id, self._clock(), audit)
