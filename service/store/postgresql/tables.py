"""The tables as PostgreSQL has them: its types are those of the records."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from service.store.tables import CHANGING, Tables


def placeholder(number: int) -> str:
    """Return how a statement names a binding, by its number from 1."""
    return f"${number}"


_TABLES = Tables({}, placeholder)
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

_TYPES = {bool: "boolean", bytes: "bytea", datetime: "timestamptz", float: "double precision", int: "bigint"}


def typed_placeholders(types: Sequence[Any], first: int = 1) -> str:
    """Return the placeholders of values for where SQL does not know their types by itself.

    Args:
        types: what the values are if they are not None.
        first: number of the first binding.
    """
    return ", ".join(f"{placeholder(number)}::{_TYPES.get(type, 'text')}" for number, type in enumerate(types, first))


_KEPT_OF_CHANGE = ", ".join(["change_time", "invoice_id", *CHANGING])


def recorded(change: str, *before: str, returning: str = SALES.columns) -> str:
    """Return a statement that changes sales and, in the same step, keeps that they have changed.

    Args:
        change: an INSERT or UPDATE of sales, without RETURNING.
        before: common table expressions that it needs.
        returning: the columns of the changed sales to return.
    """
    return (
        f"WITH {''.join(f'{each}, ' for each in before)}changed AS ({change} RETURNING sales.*), kept AS"
        f" (INSERT INTO unordered_changes ({_KEPT_OF_CHANGE}) SELECT {_KEPT_OF_CHANGE} FROM changed)"
        f" SELECT {returning} FROM changed"
    )


NEXT_CHANGE_TIME = "change_time = greatest(clock_timestamp(), sales.change_time + interval '1 microsecond')"
"""What every UPDATE that is recorded sets, too."""
