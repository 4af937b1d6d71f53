"""The settings of a caller of the gRPC port."""

from typing import Annotated

from gateway.program.settings import Redacted, Section
from gateway.program.values import NameSetting, matching
from service.callers import ROLES, Caller

_KeyHash = Annotated[
    str,
    matching(r"[0-9a-fA-F]{64}", "must be the 64 hexadecimal digits that `sale-service new-key` prints as key_hash"),
]


class CallerSettings(Section):
    """A program that may call over gRPC; see `service.callers.Caller`."""

    name: NameSetting
    roles: tuple[str, ...]
    certificate: str | None = None
    key_hashes: Annotated[tuple[_KeyHash, ...], Redacted] = ()
    """SHA-256 of its bearer keys, as `sale-service new-key` prints it."""

    def to_caller(self) -> Caller:
        """Return the caller.

        Raises:
            ValueError: nobody could be known as it, or it could do nothing; the message begins with the setting's name.
        """
        if self.certificate is None and not self.key_hashes:
            raise ValueError("key_hashes: must be set, or certificate")
        if not self.roles:
            raise ValueError("roles: needs one at least")
        if unknown := sorted(set(self.roles) - ROLES.keys()):
            raise ValueError(f"roles: {', '.join(unknown)}: there are {', '.join(ROLES)}")
        hashes = frozenset(map(bytes.fromhex, self.key_hashes))
        return Caller(self.name, frozenset(ROLES[role] for role in self.roles), self.certificate, hashes)
