"""Statements about blocks."""

from collections.abc import Collection, Sequence
from datetime import datetime

import apsw

from service.identifiers import microseconds
from service.store.records import AuditEntry, Block, BlockKey
from service.store.sqlite.audit_log import append_audit_entry
from service.store.sqlite.tables import BLOCKS

_UPSERT = (
    f"{BLOCKS.insert} ON CONFLICT DO UPDATE SET reason = excluded.reason, create_time = excluded.create_time,"
    " expire_time = excluded.expire_time, caller = excluded.caller"
)
_DELETE = "DELETE FROM blocks WHERE kind = ? AND prefix_length = ? AND value = ?"
_IS_IN_FORCE = "(expire_time IS NULL OR expire_time > {now})"
_SELECT = (
    f"{BLOCKS.select} WHERE (kind, prefix_length, value) > (?1, ?2, ?3) AND (?4 IS NULL OR kind = ?4)"
    f" AND {_IS_IN_FORCE.format(now='?5')} ORDER BY kind, prefix_length, value LIMIT ?6"
)
_EXISTS = f"SELECT 1 FROM blocks WHERE kind = ? AND prefix_length = ? AND value = ? AND {_IS_IN_FORCE.format(now='?')}"
_NEXT_SHAPE = (
    "SELECT kind, prefix_length FROM blocks WHERE (kind, prefix_length) > (?, ?) ORDER BY kind, prefix_length LIMIT 1"
)
_PURGE = (
    "DELETE FROM blocks WHERE (kind, prefix_length, value) IN"
    " (SELECT kind, prefix_length, value FROM blocks WHERE expire_time <= ? LIMIT ?)"
)


def put_block(connection: apsw.Connection, block: Block, audit: AuditEntry) -> None:
    """See `service.store.Store`."""
    connection.execute(_UPSERT, BLOCKS.row(block))
    append_audit_entry(connection, audit)


def remove_block(connection: apsw.Connection, key: BlockKey, audit: AuditEntry) -> None:
    """See `service.store.Store`."""
    connection.execute(_DELETE, key)
    if connection.changes():
        append_audit_entry(connection, audit)


def list_blocks(
    connection: apsw.Connection, kind: str | None, beyond: BlockKey | None, limit: int, now: datetime
) -> Sequence[Block]:
    """See `service.store.Store`."""
    bindings = (*(beyond or (kind or "", -1, "")), kind, microseconds(now), limit)
    return [BLOCKS.record(row) for row in connection.execute(_SELECT, bindings)]


def find_block_shapes(connection: apsw.Connection) -> Collection[tuple[str, int]]:
    """See `service.store.Store`."""
    shapes: set[tuple[str, int]] = set()
    shape = ("", 0)
    while (row := connection.execute(_NEXT_SHAPE, shape).fetchone()) is not None:
        shape = row
        shapes.add(shape)
    return shapes


def has_block(connection: apsw.Connection, keys: Sequence[BlockKey], now: datetime) -> bool:
    """See `service.store.Store`."""
    moment = microseconds(now)
    return any(connection.execute(_EXISTS, (*key, moment)).get for key in keys)


def purge_blocks(connection: apsw.Connection, now: datetime, limit: int) -> int:
    """See `service.store.Store`."""
    connection.execute(_PURGE, (microseconds(now), limit))
    return connection.changes()
