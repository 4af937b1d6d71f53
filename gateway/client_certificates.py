"""Whom a client's certificate names."""

import ssl
from typing import Any

_KINDS = ("DNS", "URI")
_MAX_NAMES = 16
_MAX_LENGTH = 255
"""The names go on as metadata, which has room for 8 KiB."""


def names_of(connection: ssl.SSLObject | None) -> tuple[str, ...]:
    """Return the subject alternative names (DNS, URI) of the certificate that the other side has shown.

    Args:
        connection: after the handshake; None where there was none.
    """
    certificate: Any = None if connection is None else connection.getpeercert()
    names = [name for kind, name in (certificate or {}).get("subjectAltName", ()) if kind in _KINDS]
    sound = [name for name in names if len(name) <= _MAX_LENGTH and name.isascii() and name.isprintable()]
    return tuple(sound[:_MAX_NAMES])
