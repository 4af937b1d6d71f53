"""Statements about idempotency records."""

from datetime import datetime

import apsw

from service.identifiers import microseconds
from service.store.records import IdempotencyRecord
from service.store.sqlite.tables import IDEMPOTENCY_RECORDS

_UPSERT = (
    f"{IDEMPOTENCY_RECORDS.insert} ON CONFLICT DO UPDATE SET request_hash = excluded.request_hash,"
    " invoice_id = excluded.invoice_id, expire_time = excluded.expire_time"
)
# Where retention is shorter than a key is remembered, the record of a sale that was purged counts no more.
_SELECT = (
    f"{IDEMPOTENCY_RECORDS.select} WHERE access_token_hash = ? AND idempotency_key = ? AND expire_time > ?"
    " AND EXISTS (SELECT 1 FROM sales WHERE sales.invoice_id = idempotency_records.invoice_id)"
)
_PURGE = (
    "DELETE FROM idempotency_records WHERE (access_token_hash, idempotency_key) IN"
    " (SELECT access_token_hash, idempotency_key FROM idempotency_records WHERE expire_time <= ? LIMIT ?)"
)


def put_record(connection: apsw.Connection, record: IdempotencyRecord) -> None:
    """Store a record, in the place of an expired one if there is one."""
    connection.execute(_UPSERT, IDEMPOTENCY_RECORDS.row(record))


def find_record(
    connection: apsw.Connection, access_token_hash: bytes, idempotency_key: str, now: datetime
) -> IdempotencyRecord | None:
    """See `service.store.Store.find_idempotency_record`."""
    row = connection.execute(_SELECT, (access_token_hash, idempotency_key, microseconds(now))).fetchone()
    return None if row is None else IDEMPOTENCY_RECORDS.record(row)


def purge_records(connection: apsw.Connection, now: datetime, limit: int) -> int:
    """See `service.store.Store.purge_idempotency_records`."""
    connection.execute(_PURGE, (microseconds(now), limit))
    return connection.changes()
