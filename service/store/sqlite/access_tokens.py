"""Statements about access tokens."""

from datetime import datetime

import apsw

from service.identifiers import microseconds
from service.store.records import AuditEntry, StoredAccessToken
from service.store.sqlite.audit_log import append_audit_entry
from service.store.sqlite.tables import ACCESS_TOKENS

_SELECT_TOKEN = f"{ACCESS_TOKENS.select} WHERE hash = ?"
_REVOKE_TOKEN = "UPDATE access_tokens SET revoke_time = ?2 WHERE hash = ?1 AND revoke_time IS NULL"
_REVOKE_OF_CONSUMER = (
    "UPDATE access_tokens SET revoke_time = ?2 WHERE consumer_id = ?1 AND revoke_time IS NULL AND expire_time > ?2"
)
_PURGE = "DELETE FROM access_tokens WHERE hash IN (SELECT hash FROM access_tokens WHERE expire_time <= ? LIMIT ?)"


def add_access_token(connection: apsw.Connection, token: StoredAccessToken, audit: AuditEntry) -> None:
    """See `service.store.Store`."""
    connection.execute(ACCESS_TOKENS.insert, ACCESS_TOKENS.row(token))
    append_audit_entry(connection, audit)


def find_access_token(connection: apsw.Connection, hash: bytes) -> StoredAccessToken | None:
    """See `service.store.Store`."""
    row = connection.execute(_SELECT_TOKEN, (hash,)).fetchone()
    return None if row is None else ACCESS_TOKENS.record(row)


def revoke_access_token(connection: apsw.Connection, hash: bytes, now: datetime, audit: AuditEntry) -> None:
    """See `service.store.Store`."""
    connection.execute(_REVOKE_TOKEN, (hash, microseconds(now)))
    if connection.changes():
        append_audit_entry(connection, audit)


def revoke_consumer_tokens(connection: apsw.Connection, consumer_id: str, now: datetime, audit: AuditEntry) -> int:
    """See `service.store.Store`."""
    connection.execute(_REVOKE_OF_CONSUMER, (consumer_id, microseconds(now)))
    count = connection.changes()
    if count:
        append_audit_entry(connection, audit)
    return count


def purge_access_tokens(connection: apsw.Connection, now: datetime, limit: int) -> int:
    """See `service.store.Store`."""
    connection.execute(_PURGE, (microseconds(now), limit))
    return connection.changes()
