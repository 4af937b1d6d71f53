"""Callers of the gRPC port: how each is known, and what it may do."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TypeVar

from connectingparty.sale.v1.access_pb2 import Role

KeyT = TypeVar("KeyT")

_PREFIX = "ROLE_"
ROLES = {name.removeprefix(_PREFIX).lower(): number for name, number in Role.items() if number != Role.ROLE_UNSPECIFIED}
"""Every role by the name that settings give it, as in `gateway`."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What somebody shows of itself when it calls."""

    key_hash: bytes | None = field(default=None, repr=False)
    """SHA-256 of the bearer key that was sent, 32 bytes."""
    certificate_names: Sequence[str] = ()
    """Subject alternative names of the client certificate, which an authority of ours has signed."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A program that may call."""

    name: str
    roles: frozenset[Role.ValueType]
    certificate: str | None = None
    """A subject alternative name of its client certificate. With neither this nor a key it is known by other means."""
    key_hashes: frozenset[bytes] = field(default=frozenset(), repr=False)
    """SHA-256 of its bearer keys, 32 bytes each: several while one is rotated. Beside a certificate both are needed."""

    def has(self, role: Role.ValueType) -> bool:
        """Tell whether it may do what a role is needed for; what none is needed for it may."""
        return role == Role.ROLE_UNSPECIFIED or role in self.roles


class Callers:
    """All callers of one server. They can be replaced while it runs.

    Args:
        callers: the callers to begin with.

    Raises:
        ValueError: they can't be told apart; the message begins with the name of the setting.
    """

    def __init__(self, callers: Collection[Caller]) -> None:
        self.replace(callers)

    def replace(self, callers: Collection[Caller]) -> None:
        """Put other callers in the place of all that there are.

        Raises:
            ValueError: as of the class; then the callers stay as they were.
        """
        by_key: dict[bytes, Caller] = {}
        by_certificate: dict[str, Caller] = {}
        for caller in callers:
            for key_hash in caller.key_hashes:
                _put(by_key, key_hash, caller, "key")
            if caller.certificate is not None and not caller.key_hashes:
                _put(by_certificate, caller.certificate, caller, "certificate")
        if len({caller.name for caller in callers}) < len(callers):
            raise ValueError("callers: one name is there twice")
        self._by_key, self._by_certificate = by_key, by_certificate

    def identify(self, credentials: Credentials) -> Caller | None:
        """Return who shows these credentials; None if that is nobody.

        A key that is sent has to be right: a certificate does not make up for one that is not.
        """
        if credentials.key_hash is not None:
            caller = self._by_key.get(credentials.key_hash)
            if caller is None or caller.certificate is None or caller.certificate in credentials.certificate_names:
                return caller
            return None
        for name in credentials.certificate_names:
            if (caller := self._by_certificate.get(name)) is not None:
                return caller
        return None


def hash_key(key: str) -> bytes:
    """Return the SHA-256 of a bearer key, 32 bytes. A key is random and long, so a slow hash would add nothing."""
    return sha256(key.encode()).digest()


def _put(callers: dict[KeyT, Caller], key: KeyT, caller: Caller, what: str) -> None:
    other = callers.setdefault(key, caller)
    if other is not caller:
        raise ValueError(f"callers: {other.name} and {caller.name} have the same {what}")
