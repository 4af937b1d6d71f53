"""Access tokens: with one a consumer's app initiates sales."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from service.endpoints import Endpoints
from service.errors import ErrorReason, FieldViolation, SaleError
from service.identifiers import AccessToken, Clock, Randomness, hash_access_token, new_access_token
from service.store import Store, StoredAccessToken

AccessTokenMode = Literal["issued", "any"]
"""`issued`: only tokens that this server issued count; `any`: every well-formed one does, as the merchant's own login
made it."""


@dataclass(frozen=True, slots=True)
class Authentication:
    """What an access token that counts gives its bearer."""

    access_token_hash: bytes
    """SHA-256 of the token, 32 bytes."""
    endpoint_id: str | None
    """The endpoint that all its sales go to."""


class AccessTokens:
    """Issues, recognises and revokes access tokens.

    Args:
        store: where they are stored, as SHA-256 only.
        endpoints: to which they can be bound.
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
        *,
        mode: AccessTokenMode,
        ttl: timedelta,
        public: bool,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._store = store
        self._endpoints = endpoints
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

    async def issue(self, endpoint_id: str | None = None, ttl: timedelta | None = None) -> tuple[AccessToken, datetime]:
        """Make a token.

        Args:
            endpoint_id: the endpoint to bind it to; None leaves the choice to each sale's currency.
            ttl: how long it is valid; None for the configured time.

        Returns:
            The token, which can't be read again, and when it expires.

        Raises:
            SaleError: `ERROR_REASON_INVALID_FIELD`, there is no such endpoint.
        """
        if endpoint_id is not None and self._endpoints.find(endpoint_id) is None:
            raise SaleError.invalid_fields([FieldViolation("endpointId", "is not a configured endpoint")])
        token = new_access_token(self._randomness)
        now = self._clock()
        expires_at = now + (self._ttl if ttl is None else ttl)
        await self._store.add_access_token(StoredAccessToken(hash_access_token(token), endpoint_id, now, expires_at))
        return token, expires_at

    async def authenticate(self, access_token: str) -> Authentication:
        """Recognise a token.

        Args:
            access_token: as it was sent; well-formed.

        Returns:
            What it gives its bearer.

        Raises:
            SaleError: `ERROR_REASON_ACCESS_TOKEN_INVALID`, it is unknown, expired or revoked.
        """
        token_hash = hash_access_token(access_token)
        if self._mode == "any":
            return Authentication(token_hash, None)
        token = await self._store.find_access_token(token_hash)
        if token is None or token.revoked_at is not None or token.expires_at <= self._clock():
            raise SaleError(ErrorReason.ERROR_REASON_ACCESS_TOKEN_INVALID)
        return Authentication(token_hash, token.endpoint_id)

    async def revoke(self, access_token: str) -> None:
        """Let a token count no longer. One that is unknown or already revoked is no error (as in RFC 7009)."""
        await self._store.revoke_access_token(hash_access_token(access_token), self._clock())
