"""Statements about the audit log. There is one writer at a time, so an entry is chained when it is written."""

from collections.abc import Sequence
from typing import Any

import apsw

from service.store.audit_chain import FIRST_HASH, next_hash
from service.store.records import AuditEntry, AuditLink, ChainedEntry, UnchainedEntries
from service.store.sqlite.tables import AUDIT_CHAIN, AUDIT_ENTRIES, SELECT_AUDIT_LOG, chained_entry

_SELECT_LAST = f"{AUDIT_CHAIN.select} ORDER BY position DESC LIMIT 1"
_SELECT_AFTER = f"{SELECT_AUDIT_LOG} WHERE chain.position > ? ORDER BY chain.position LIMIT ?"
_COUNT_UNCHAINED = "SELECT count(*) FROM audit_entries WHERE entry_id NOT IN (SELECT entry_id FROM audit_chain)"


def append_audit_entry(connection: apsw.Connection, entry: AuditEntry) -> None:
    """See `service.store.Store`; for other steps, too, of which an entry is kept."""
    row: Any = connection.execute(_SELECT_LAST).fetchone()
    last = AuditLink(0, "", FIRST_HASH) if row is None else AUDIT_CHAIN.record(row)
    link = AuditLink(last.position + 1, entry.entry_id, next_hash(last.hash, entry))
    connection.execute(AUDIT_ENTRIES.insert, AUDIT_ENTRIES.row(entry))
    connection.execute(AUDIT_CHAIN.insert, AUDIT_CHAIN.row(link))


def list_audit_entries(connection: apsw.Connection, after: int, limit: int) -> Sequence[ChainedEntry]:
    """See `service.store.Store`."""
    return [chained_entry(row) for row in connection.execute(_SELECT_AFTER, (after, limit))]


def count_unchained_audit_entries(connection: apsw.Connection) -> UnchainedEntries:
    """See `service.store.Store`."""
    return UnchainedEntries(0, connection.execute(_COUNT_UNCHAINED).get)
