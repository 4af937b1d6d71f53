"""Card data at rest: AES-256-GCM under keys from the configuration.

Each card has a fresh nonce, and its identity is part of what is authenticated: data that was moved to another row does
not open there.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import structlog

from service.errors import ErrorReason, SaleError, StoreUnavailable
from service.identifiers import Randomness

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_log = structlog.stdlib.get_logger(__name__)

KEY_BYTES = 32
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class VaultKey:
    """A key of the vault.

    Raises:
        ValueError: it is not of 32 bytes.
    """

    id: str
    """Stored with what it encrypts."""
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            raise ValueError(f"must be {KEY_BYTES} bytes, that is {2 * KEY_BYTES} hexadecimal digits")


@dataclass(frozen=True, slots=True)
class CardData:
    """What is on a card. There is no security code in it: that is never kept."""

    number: str = field(repr=False)
    """12-19 decimal digits."""
    month: int = field(repr=False)
    """Of the expiry, 1-12."""
    year: int = field(repr=False)
    """Of the expiry, four digits."""
    first_name: str = field(repr=False)
    last_name: str = field(repr=False)


class SealBroken(Exception):
    """What is stored is not what was sealed for this card: it was tampered with, or moved from another card."""


class Sealed(NamedTuple):
    """Card data, encrypted."""

    vault_key_id: str
    sealed: bytes
    """Nonce (12 bytes), ciphertext, tag (16 bytes)."""


class Vault:
    """Encrypts and decrypts card data.

    Args:
        keys: the first one encrypts, every one decrypts; their ids differ. None at all turns the vault off.
        randomness: what nonces are made of.
    """

    def __init__(self, keys: Sequence[VaultKey], randomness: Randomness) -> None:
        self._randomness = randomness
        self.replace(keys)

    def replace(self, keys: Sequence[VaultKey]) -> None:
        """Put other keys in the place of those that there are."""
        self._ciphers = {key.id: _cipher(key) for key in keys}
        self._sealing_key_id = keys[0].id if keys else None

    def require_key(self) -> str:
        """Return the id of the key that encrypts.

        Raises:
            SaleError: `ERROR_REASON_PATH_NOT_FOUND`, the vault is off.
        """
        if self._sealing_key_id is None:
            raise SaleError(ErrorReason.ERROR_REASON_PATH_NOT_FOUND, "The vault is off: no vault key is configured.")
        return self._sealing_key_id

    def seal(self, data: CardData, *, client_card_id: str, consumer_id: str) -> Sealed:
        """Encrypt the data of a card.

        Args:
            data: the data.
            client_card_id: the card's.
            consumer_id: the card's.

        Raises:
            SaleError: `ERROR_REASON_PATH_NOT_FOUND`, the vault is off.
        """
        key_id, nonce = self.require_key(), self._randomness(_NONCE_BYTES)
        values = data.number, data.month, data.year, data.first_name, data.last_name
        identity = _identity(key_id, client_card_id, consumer_id)
        ciphertext = self._ciphers[key_id].encrypt(nonce, json.dumps(values).encode(), identity)
        return Sealed(key_id, nonce + ciphertext)

    def open(self, sealed: Sealed, *, client_card_id: str, consumer_id: str) -> CardData:
        """Decrypt the data of a card.

        Args:
            sealed: as `seal` returned it.
            client_card_id: the card's.
            consumer_id: the card's.

        Raises:
            StoreUnavailable: its key is not configured now.
            SealBroken: it is not what was sealed for this card.
        """
        cipher = self._ciphers.get(sealed.vault_key_id)
        if cipher is None:
            _log.error("vault key not configured", vault_key_id=sealed.vault_key_id)
            raise StoreUnavailable("The vault key of this card is not configured now; try again later.")
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  # as where the cipher was made

        nonce, ciphertext = sealed.sealed[:_NONCE_BYTES], sealed.sealed[_NONCE_BYTES:]
        identity = _identity(sealed.vault_key_id, client_card_id, consumer_id)
        try:
            if len(nonce) < _NONCE_BYTES:
                raise InvalidTag
            return CardData(*json.loads(cipher.decrypt(nonce, ciphertext, identity)))
        except InvalidTag:
            raise SealBroken(f"the data of card {client_card_id} is not what was sealed for it") from None


def _cipher(key: VaultKey) -> "AESGCM":
    # A server whose vault is off does without it, and so with 7 MB less.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    return AESGCM(key.secret)


def _identity(*parts: str) -> bytes:
    return json.dumps(parts).encode()
