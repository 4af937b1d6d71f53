"""Statements about access tokens."""

from collections.abc import Sequence
from datetime import datetime

from service.store.postgresql.audit_log import audited, row_of
from service.store.postgresql.database import Connection
from service.store.postgresql.tables import ACCESS_TOKENS
from service.store.records import AuditEntry, StoredAccessToken

# A token's 256 bits are drawn once.
_INSERT_IF_NEW = audited(f"{ACCESS_TOKENS.insert} ON CONFLICT (hash) DO NOTHING", len(ACCESS_TOKENS.names) + 1)
# For an array of bytea the driver would have to look the type up, in each connection anew.
_SELECT_TOKENS = (
    f"{ACCESS_TOKENS.select} WHERE hash IN (SELECT decode(digits, 'hex') FROM unnest($1::text[]) AS digits)"
)
_REVOKE_TOKEN = audited("UPDATE access_tokens SET revoke_time = $2 WHERE hash = $1 AND revoke_time IS NULL", 3)
_REVOKE_OF_CONSUMER = audited(
    "UPDATE access_tokens SET revoke_time = $2 WHERE consumer_id = $1 AND revoke_time IS NULL AND expire_time > $2", 3
)
# Where there was nothing to do, it may have been done on this server only: a lock is written to the log, and its commit
# waits for the standby.
_LOCK_TOKEN = "SELECT 1 FROM access_tokens WHERE hash = $1 FOR UPDATE"
_LOCK_OF_CONSUMER = "SELECT 1 FROM access_tokens WHERE consumer_id = $1 FOR UPDATE"
_PURGE = (
    "DELETE FROM access_tokens WHERE hash = ANY (ARRAY"
    " (SELECT hash FROM access_tokens WHERE expire_time <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING 1"
)


async def add_access_token(connection: Connection, token: StoredAccessToken, audit: AuditEntry) -> None:
    """See `service.store.Store`; one that is stored already is a success."""
    await connection.execute(_INSERT_IF_NEW, *ACCESS_TOKENS.row(token), *row_of(audit))


async def find_access_tokens(connection: Connection, hashes: Sequence[bytes]) -> Sequence[StoredAccessToken | None]:
    """Return the access tokens with these SHA-256, in their order; None for one that there is not."""
    rows = await connection.fetch(_SELECT_TOKENS, [hash.hex() for hash in set(hashes)])
    found = {token.hash: token for token in map(ACCESS_TOKENS.record, rows)}
    return [found.get(hash) for hash in hashes]


async def revoke_access_token(connection: Connection, hash: bytes, now: datetime, audit: AuditEntry) -> None:
    """See `service.store.Store`."""
    if await connection.fetchval(_REVOKE_TOKEN, hash, now, *row_of(audit)) == 0:
        await connection.execute(_LOCK_TOKEN, hash)


async def revoke_consumer_tokens(connection: Connection, consumer_id: str, now: datetime, audit: AuditEntry) -> int:
    """See `service.store.Store`."""
    count = int(await connection.fetchval(_REVOKE_OF_CONSUMER, consumer_id, now, *row_of(audit)))
    if count == 0:
        await connection.execute(_LOCK_OF_CONSUMER, consumer_id)
    return count


async def purge_access_tokens(connection: Connection, now: datetime, limit: int) -> int:
    """See `service.store.Store`."""
    return len(await connection.fetch(_PURGE, now, limit))
