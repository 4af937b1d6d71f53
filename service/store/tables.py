"""Rows of tables as records, and back: the columns are the record's fields, under the same names, in every engine."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, make_dataclass
from datetime import datetime
from operator import attrgetter, itemgetter
from typing import Any, Generic, NamedTuple, TypeVar, get_type_hints

from service.sale_states import SaleState, state_name
from service.store.records import (
    AuditEntry,
    AuditLink,
    Block,
    ChainedEntry,
    IdempotencyRecord,
    LimitUse,
    Sale,
    SaleChange,
    SaleEvent,
    StatusReport,
    StoredAccessToken,
    StoredCard,
)

Row = tuple[Any, ...]


class Page(NamedTuple):
    """Part of a table in the order of its key, for a copy."""

    records: Sequence[Any]
    after: Row
    """The key of the record before the first one."""
    until: Row | None
    """The key of the last one; None if the table ends here."""


RecordT = TypeVar("RecordT")
Conversion = tuple[Callable[[Any], Any], Callable[[Any], Any]]
"""To the database and back; None stays None."""

_STATES = {state_name(state): state for state in SaleState.values()}
_STATE_NAMES = {state: name for name, state in _STATES.items()}


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in json.loads(text))


_CONVERSIONS_BY_NAME: dict[str, Conversion] = {
    "state": (_STATE_NAMES.__getitem__, _STATES.__getitem__),  # at run time an enum of the proto is an int
}
_CONVERSIONS_BY_TYPE: dict[Any, Conversion] = {
    tuple[str, ...]: (json.dumps, lambda text: tuple(json.loads(text))),
    tuple[tuple[str, str], ...]: (json.dumps, _pairs),
}

CHANGING = ("update_time", "state", "check_time", "client_card_id", "orderid", "amount_differs")
"""The columns of a sale that its changes keep: what of it is shown and can change."""

# Rows that are more than their record, as a copy takes them along.
_SALE_TYPES = get_type_hints(Sale)
_StoredChange = make_dataclass(
    "_StoredChange",
    [
        ("position", int),
        ("order_time", datetime),
        *((name, _SALE_TYPES[name]) for name in ("invoice_id", *CHANGING)),
    ],
)
_ArrivedReport = make_dataclass("_ArrivedReport", [("arrival", int)], bases=(StatusReport,), frozen=True)


class Table(Generic[RecordT]):
    """One table.

    Args:
        name: its name.
        record_class: of its rows, a dataclass or a NamedTuple.
        conversions: of the types that the engine does not take as they are.
        placeholder: how the engine's SQL names a binding, by its number from 1.
        key: the columns that tell one row from the others; their values are the same in the database and in a record.
    """

    def __init__(
        self,
        name: str,
        record_class: type[RecordT],
        conversions: Mapping[Any, Conversion],
        placeholder: Callable[[int], str],
        key: tuple[str, ...] = (),
    ) -> None:
        hints = get_type_hints(record_class)
        self.name = name
        named: Any = record_class
        self.names: tuple[str, ...] = getattr(named, "_fields", None) or tuple(field.name for field in fields(named))
        self.columns = ", ".join(self.names)
        self.placeholders = ", ".join(placeholder(number + 1) for number in range(len(self.names)))
        self.insert = f"INSERT INTO {name} ({self.columns}) VALUES ({self.placeholders})"
        self.select = f"SELECT {self.columns} FROM {name}"
        self._record_class = record_class
        self._values = attrgetter(*self.names)
        by_type = {**_CONVERSIONS_BY_TYPE, **conversions}
        self.types = tuple(str if name in _CONVERSIONS_BY_NAME else _required(hints[name]) for name in self.names)
        """What the values of a row are if they are not None, before the engine's own conversions."""
        self.key = ", ".join(key)
        self._key_positions = [self.names.index(name) for name in key]
        self.key_types = self.key_of(self.types)
        pairs = [
            (position, _CONVERSIONS_BY_NAME.get(name) or by_type.get(type))
            for position, (name, type) in enumerate(zip(self.names, self.types, strict=True))
        ]
        self._to_row = [(position, pair[0]) for position, pair in pairs if pair is not None]
        self._from_row = [(position, pair[1]) for position, pair in pairs if pair is not None]

    def row(self, record: RecordT) -> Row:
        """Return the values of a record's columns."""
        return _converted(self._values(record), self._to_row)

    def key_of(self, row: Any) -> Row:
        """Return the values of the key's columns in a row."""
        return tuple(row[position] for position in self._key_positions)

    def record(self, row: Any) -> RecordT:
        """Return the record of a row of all columns in their order."""
        return self._record_class(*_converted(row, self._from_row))


def _required(hint: Any) -> Any:
    # Of `str | None` the part that is not None.
    arguments = [part for part in getattr(hint, "__args__", ()) if part is not type(None)]
    return arguments[0] if type(None) in getattr(hint, "__args__", ()) else hint


def _converted(values: Any, conversions: list[tuple[int, Callable[[Any], Any]]]) -> Row:
    converted = list(values)
    for position, convert in conversions:
        if converted[position] is not None:
            converted[position] = convert(converted[position])
    return tuple(converted)


class Tables:
    """All tables, as one engine has them.

    Args:
        conversions: of the types that the engine does not take as they are.
        placeholder: how the engine's SQL names a binding, by its number from 1.
    """

    def __init__(self, conversions: Mapping[Any, Conversion], placeholder: Callable[[int], str]) -> None:
        engine = conversions, placeholder
        self.sales = Table("sales", Sale, *engine, ("invoice_id",))
        self.status_reports = Table("status_reports", StatusReport, *engine)
        self.sale_events = Table("sale_events", SaleEvent, *engine, ("invoice_id", "event_id"))
        self.cards = Table("cards", StoredCard, *engine, ("client_card_id",))
        self.access_tokens = Table("access_tokens", StoredAccessToken, *engine, ("hash",))
        self.idempotency_records = Table(
            "idempotency_records", IdempotencyRecord, *engine, ("access_token_hash", "idempotency_key")
        )
        self.audit_entries = Table("audit_entries", AuditEntry, *engine, ("entry_id",))
        self.audit_chain = Table("audit_chain", AuditLink, *engine, ("position",))
        self.limit_uses = Table("limit_uses", LimitUse, *engine, ("key",))
        self.blocks = Table("blocks", Block, *engine, ("kind", "prefix_length", "value"))
        copied: tuple[Table[Any], ...] = (
            self.sales,
            Table("status_reports", _ArrivedReport, *engine, ("invoice_id", "arrival")),
            self.sale_events,
            self.cards,
            self.access_tokens,
            self.idempotency_records,
            self.limit_uses,
            self.blocks,
            Table("sale_changes", _StoredChange, *engine, ("position",)),
            self.audit_entries,
            self.audit_chain,
        )
        self.copied = {table.name: table for table in copied}
        """All tables as a copy takes them along, by their names; what is left is where the changes begin and end."""
        self._changing_values = itemgetter(*(self.sales.names.index(name) for name in CHANGING))
        columns = ", ".join(f"{'change' if name in CHANGING else 'sale'}.{name}" for name in self.sales.names)
        self.select_changes = (
            f"SELECT change.position, {columns} FROM sale_changes AS change JOIN sales AS sale USING (invoice_id)"
        )
        """Selects rows of `change_of`."""

        columns = ", ".join(f"entry.{name}" for name in self.audit_entries.names)
        self.select_audit_log = (
            f"SELECT chain.position, chain.entry_id, chain.hash, {columns}"
            " FROM audit_chain AS chain LEFT JOIN audit_entries AS entry ON entry.entry_id = chain.entry_id"
        )
        """Selects rows of `chained_entry`."""

    def changing_values(self, sale: Sale) -> Row:
        """Return the values of the columns of `CHANGING`."""
        values: Row = self._changing_values(self.sales.row(sale))
        return values

    def change_of(self, row: Any) -> SaleChange:
        """Return the record of a row of `select_changes`."""
        return SaleChange(row[0], self.sales.record(row[1:]))

    def chained_entry(self, row: Any) -> ChainedEntry:
        """Return the record of a row of `select_audit_log`."""
        width = len(self.audit_chain.names)
        entry = None if row[width] is None else self.audit_entries.record(row[width:])
        return ChainedEntry(self.audit_chain.record(row[:width]), entry)
