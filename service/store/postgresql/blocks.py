"""Statements about blocks."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from service.store.postgresql.audit_log import audited, row_of
from service.store.postgresql.database import Connection
from service.store.postgresql.tables import BLOCKS
from service.store.records import AuditEntry, Block, BlockKey

_UPSERT = audited(
    f"{BLOCKS.insert} ON CONFLICT (kind, prefix_length, value) DO UPDATE SET reason = excluded.reason,"
    " create_time = excluded.create_time, expire_time = excluded.expire_time, caller = excluded.caller",
    len(BLOCKS.names) + 1,
)
_DELETE = audited("DELETE FROM blocks WHERE kind = $1 AND prefix_length = $2 AND value = $3", 4)
_SELECT = (
    f"{BLOCKS.select} WHERE (kind, prefix_length, value) > ($1, $2, $3) AND ($4::text IS NULL OR kind = $4)"
    " AND (expire_time IS NULL OR expire_time > $5) ORDER BY kind, prefix_length, value LIMIT $6"
)
# From each shape to the next one by the index, however many blocks have it.
_SELECT_SHAPES = (
    "WITH RECURSIVE shapes AS ((SELECT kind, prefix_length FROM blocks ORDER BY kind, prefix_length LIMIT 1) UNION ALL"
    " SELECT following.* FROM shapes, LATERAL (SELECT kind, prefix_length FROM blocks"
    " WHERE (blocks.kind, blocks.prefix_length) > (shapes.kind, shapes.prefix_length)"
    " ORDER BY kind, prefix_length LIMIT 1) AS following) SELECT kind, prefix_length FROM shapes"
)
_SELECT_SOUGHT = (
    "SELECT kind, prefix_length, value, expire_time FROM blocks WHERE (kind, prefix_length, value) IN"
    " (SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[]))"
)
_PURGE = (
    "WITH expired AS (SELECT kind, prefix_length, value FROM blocks WHERE expire_time <= $1 LIMIT {limit}"
    " FOR UPDATE SKIP LOCKED) DELETE FROM blocks USING expired WHERE blocks.kind = expired.kind"
    " AND blocks.prefix_length = expired.prefix_length AND blocks.value = expired.value RETURNING 1"
)


class Sought(NamedTuple):
    """What `Store.has_block` is given."""

    keys: Sequence[BlockKey]
    now: datetime


async def put_block(connection: Connection, block: Block, audit: AuditEntry) -> None:
    """See `service.store.Store`."""
    await connection.execute(_UPSERT, *BLOCKS.row(block), *row_of(audit))


async def remove_block(connection: Connection, key: BlockKey, audit: AuditEntry) -> None:
    """See `service.store.Store`."""
    await connection.execute(_DELETE, *key, *row_of(audit))


async def list_blocks(
    connection: Connection, kind: str | None, beyond: BlockKey | None, limit: int, now: datetime
) -> Sequence[Block]:
    """See `service.store.Store`."""
    rows = await connection.fetch(_SELECT, *(beyond or (kind or "", -1, "")), kind, now, limit)
    return [BLOCKS.record(row) for row in rows]


async def find_block_shapes(connection: Connection) -> Collection[tuple[str, int]]:
    """See `service.store.Store`."""
    return {(row["kind"], row["prefix_length"]) for row in await connection.fetch(_SELECT_SHAPES)}


async def have_blocks(connection: Connection, sought: Sequence[Sought]) -> Sequence[bool]:
    """Tell of each whether there is a block; as of `Store.has_block`."""
    keys = sorted({key for each in sought for key in each.keys})
    rows = await connection.fetch(_SELECT_SOUGHT, *([key[part] for key in keys] for part in range(3)))
    ends = {(row["kind"], row["prefix_length"], row["value"]): row["expire_time"] for row in rows}
    return [any(key in ends and (ends[key] is None or ends[key] > each.now) for key in each.keys) for each in sought]


async def purge_blocks(connection: Connection, now: datetime, limit: int) -> int:
    """See `service.store.Store`."""
    return len(await connection.fetch(_PURGE.format(limit=int(limit)), now))
