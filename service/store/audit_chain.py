"""The chain of hashes over the audit log: what makes it show when an entry was changed, removed or moved.

Each hash is SHA-256 over the 32 bytes of the hash before it and the entry in one canonical form, the same in every
engine. Whoever can write the database can compute a whole new chain; a hash that is kept elsewhere gives that away.
"""

import hashlib
import json

from service.identifiers import microseconds
from service.store.records import AuditEntry

# JSON in ASCII without spaces: there is one way to write these values, and no two of them are written alike.
_CANONICAL = json.JSONEncoder(separators=(",", ":"))
FIRST_HASH = bytes(32)
"""What stands for the hash before the first entry."""


def next_hash(previous: bytes, entry: AuditEntry) -> bytes:
    """Return the hash of an entry in the chain.

    Args:
        previous: hash of the entry before it, 32 bytes; `FIRST_HASH` for the first one.
        entry: the entry.

    Returns:
        32 bytes.
    """
    values = (
        entry.entry_id,
        microseconds(entry.create_time),
        entry.caller,
        entry.address,
        entry.action,
        entry.subject,
        entry.details,
    )
    return hashlib.sha256(previous + _CANONICAL.encode(values).encode("ascii")).digest()
