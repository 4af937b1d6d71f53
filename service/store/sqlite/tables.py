"""The tables as SQLite has them: times as microseconds, truth as a number."""

from datetime import datetime

from service.identifiers import from_microseconds, microseconds
from service.store.tables import Tables


def placeholder(number: int) -> str:
    """Return how a statement names a binding, by its number from 1."""
    return f"?{number}"


_TABLES = Tables({datetime: (microseconds, from_microseconds), bool: (int, bool)}, placeholder)
SALES = _TABLES.sales
STATUS_REPORTS = _TABLES.status_reports
SALE_EVENTS = _TABLES.sale_events
CARDS = _TABLES.cards
ACCESS_TOKENS = _TABLES.access_tokens
IDEMPOTENCY_RECORDS = _TABLES.idempotency_records
AUDIT_ENTRIES = _TABLES.audit_entries
AUDIT_CHAIN = _TABLES.audit_chain
LIMIT_USES = _TABLES.limit_uses
BLOCKS = _TABLES.blocks
COPIED = _TABLES.copied
SELECT_CHANGES = _TABLES.select_changes
changing_values = _TABLES.changing_values
change_of = _TABLES.change_of
SELECT_AUDIT_LOG = _TABLES.select_audit_log
chained_entry = _TABLES.chained_entry
