"""Statements about the audit log.

Transactions keep entries without a place in the chain: to know the hash before it, each would have to wait for all
others. Afterwards `chain_audit_entries`, one transaction at a time, chains those that it sees committed, in the order
of their ids, which is that of time where the nodes' clocks agree.
"""

from collections.abc import Sequence

from service.store.audit_chain import FIRST_HASH, next_hash
from service.store.postgresql.database import Connection
from service.store.postgresql.tables import (
    AUDIT_CHAIN,
    AUDIT_ENTRIES,
    SELECT_AUDIT_LOG,
    chained_entry,
    typed_placeholders,
)
from service.store.records import AuditEntry, AuditLink, ChainedEntry, UnchainedEntries
from service.store.tables import Row

BATCH = 1000
"""How many entries one transaction chains at most."""


def audited(change: str, first: int) -> str:
    """Return a statement that makes a change and, in the same step, keeps an audit entry if it has changed a row.

    It returns how many rows were changed.

    Args:
        change: an INSERT or UPDATE, without RETURNING.
        first: number of the first binding of the entry, `row_of` it: how many the change has, and 1.
    """
    return f"WITH changed AS ({change} RETURNING 1), {_kept(first, ' WHERE EXISTS (SELECT 1 FROM changed)')}"


def _kept(first: int, condition: str = "") -> str:
    # One that is there already was kept by the same step, whose end nobody knew.
    return (
        f"kept AS (INSERT INTO audit_entries ({AUDIT_ENTRIES.columns})"
        f" SELECT {typed_placeholders(AUDIT_ENTRIES.types, first)}{condition}"
        " ON CONFLICT (entry_id) DO NOTHING RETURNING entry_id), waiting AS"
        " (INSERT INTO unchained_audit_entries SELECT entry_id FROM kept)"
        f" SELECT count(*) FROM {'changed' if condition else 'kept'}"
    )


_APPEND = f"WITH {_kept(1)}"
_LOCK = "SELECT 1 FROM audit_chaining FOR UPDATE"
_TAKE = (
    "DELETE FROM unchained_audit_entries WHERE entry_id = ANY (ARRAY"
    f" (SELECT entry_id FROM unchained_audit_entries ORDER BY entry_id LIMIT {BATCH})) RETURNING entry_id"
)
_SELECT_TAKEN = f"{AUDIT_ENTRIES.select} WHERE entry_id = ANY ($1::text[]) ORDER BY entry_id"
_SELECT_LAST = f"{AUDIT_CHAIN.select} ORDER BY position DESC LIMIT 1"
# With the limit in its words the plan is made for few rows.
_SELECT_AFTER = f"{SELECT_AUDIT_LOG} WHERE chain.position > $1 ORDER BY chain.position LIMIT {{limit}}"
_COUNT_UNCHAINED = (
    "SELECT waiting.count, unchained.count - waiting.count FROM"
    " (SELECT count(*) FROM unchained_audit_entries JOIN audit_entries USING (entry_id)) AS waiting,"
    " (SELECT count(*) FROM audit_entries AS entry WHERE NOT EXISTS"
    " (SELECT FROM audit_chain AS chain WHERE chain.entry_id = entry.entry_id)) AS unchained"
)


def row_of(entry: AuditEntry) -> Row:
    """Return the bindings of an entry."""
    return AUDIT_ENTRIES.row(entry)


async def append_audit_entry(connection: Connection, entry: AuditEntry) -> None:
    """See `service.store.Store`; for transactions, too, of which an entry is kept."""
    await connection.execute(_APPEND, *row_of(entry))


async def chain_audit_entries(connection: Connection) -> int:
    """Put the oldest of the entries that wait for it into the chain.

    Returns:
        How many were; fewer than `BATCH` if those are all that were committed when it began.
    """
    async with connection.transaction():
        await connection.execute(_LOCK)
        # A statement sees what was committed when it begins: these all that the lock was waited for.
        taken = [entry_id for (entry_id,) in await connection.fetch(_TAKE)]
        row = await connection.fetchrow(_SELECT_LAST)
        last = AuditLink(0, "", FIRST_HASH) if row is None else AUDIT_CHAIN.record(row)
        links = []
        for entry in map(AUDIT_ENTRIES.record, await connection.fetch(_SELECT_TAKEN, taken)):
            last = AuditLink(last.position + 1, entry.entry_id, next_hash(last.hash, entry))
            links.append(AUDIT_CHAIN.row(last))
        await connection.executemany(AUDIT_CHAIN.insert, links)
    return len(taken)


async def list_audit_entries(connection: Connection, after: int, limit: int) -> Sequence[ChainedEntry]:
    """See `service.store.Store`."""
    return [chained_entry(row) for row in await connection.fetch(_SELECT_AFTER.format(limit=int(limit)), after)]


async def count_unchained_audit_entries(connection: Connection) -> UnchainedEntries:
    """See `service.store.Store`."""
    (row,) = await connection.fetch(_COUNT_UNCHAINED)
    return UnchainedEntries(*row)
