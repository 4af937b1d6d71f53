"""Statements about idempotency records."""

from datetime import datetime

from service.store.postgresql.database import Connection
from service.store.postgresql.tables import IDEMPOTENCY_RECORDS
from service.store.records import IdempotencyRecord

_INSERT_IF_NEW = f"{IDEMPOTENCY_RECORDS.insert} ON CONFLICT DO NOTHING RETURNING 1"
_REPLACE = (
    "UPDATE idempotency_records SET request_hash = $3, invoice_id = $4, expire_time = $5"
    " WHERE access_token_hash = $1 AND idempotency_key = $2"
)
# Where retention is shorter than a key is remembered, the record of a sale that was purged counts no more.
_SELECT = (
    f"{IDEMPOTENCY_RECORDS.select} WHERE access_token_hash = $1 AND idempotency_key = $2 AND expire_time > $3"
    " AND EXISTS (SELECT FROM sales WHERE sales.invoice_id = idempotency_records.invoice_id)"
)
_LOCK = "SELECT 1 FROM idempotency_records WHERE access_token_hash = $1 AND idempotency_key = $2 FOR UPDATE"
# With the limit in its words the plan is made for few rows.
_PURGE = (
    "WITH expired AS (SELECT access_token_hash, idempotency_key FROM idempotency_records WHERE expire_time <= $1"
    " LIMIT {limit} FOR UPDATE SKIP LOCKED) DELETE FROM idempotency_records AS record USING expired"
    " WHERE record.access_token_hash = expired.access_token_hash AND record.idempotency_key = expired.idempotency_key"
    " RETURNING 1"
)


async def claim_key(connection: Connection, record: IdempotencyRecord, now: datetime) -> IdempotencyRecord | None:
    """Store a record within a transaction, unless one with its token and key counts.

    Returns:
        The one that counts; None if the record was stored.
    """
    key = record.access_token_hash, record.idempotency_key
    while await connection.fetchval(_INSERT_IF_NEW, *IDEMPOTENCY_RECORDS.row(record)) is None:
        if await connection.fetchval(_LOCK, *key) is None:
            continue  # it was purged meanwhile
        earlier = await find_record(connection, *key, now)
        if earlier is None:
            await connection.execute(_REPLACE, *IDEMPOTENCY_RECORDS.row(record))
        return earlier
    return None


async def find_record(
    connection: Connection, access_token_hash: bytes, idempotency_key: str, now: datetime
) -> IdempotencyRecord | None:
    """Return the record that counts, if there is one; it may be on this server only."""
    row = await connection.fetchrow(_SELECT, access_token_hash, idempotency_key, now)
    return None if row is None else IDEMPOTENCY_RECORDS.record(row)


async def confirm_record(connection: Connection, access_token_hash: bytes, idempotency_key: str) -> None:
    """Have a record that was found on the standby too, once this is committed: its lock is written to the log."""
    await connection.execute(_LOCK, access_token_hash, idempotency_key)


async def purge_records(connection: Connection, now: datetime, limit: int) -> int:
    """See `service.store.Store.purge_idempotency_records`."""
    return len(await connection.fetch(_PURGE.format(limit=int(limit)), now))
