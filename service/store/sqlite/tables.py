"""Rows of a table as records, and back: the columns are the record's fields, under the same names."""

import json
from collections.abc import Callable
from dataclasses import fields
from datetime import datetime
from operator import attrgetter, itemgetter
from typing import Any, Generic, TypeVar, get_type_hints

from service.identifiers import from_microseconds, microseconds
from service.sale_states import SaleState, state_name
from service.store.records import (
    IdempotencyRecord,
    Sale,
    SaleChange,
    StatusReport,
    StoredAccessToken,
    StoredCard,
)

Row = tuple[Any, ...]
RecordT = TypeVar("RecordT")
Convert = Callable[[Any], Any]

_STATES = {state_name(state): state for state in SaleState.values()}
_STATE_NAMES = {state: name for name, state in _STATES.items()}


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in json.loads(text))


# To the database and back; None stays None, and other types are stored as they are.
_CONVERSIONS_BY_NAME: dict[str, tuple[Convert, Convert]] = {
    "state": (_STATE_NAMES.__getitem__, _STATES.__getitem__),  # at run time an enum of the proto is an int
}
_CONVERSIONS_BY_TYPE: dict[Any, tuple[Convert, Convert]] = {
    datetime: (microseconds, from_microseconds),
    bool: (int, bool),
    tuple[str, ...]: (json.dumps, lambda text: tuple(json.loads(text))),
    tuple[tuple[str, str], ...]: (json.dumps, _pairs),
}


class Table(Generic[RecordT]):
    """One table.

    Args:
        name: its name.
        record_class: the dataclass of its rows.
    """

    def __init__(self, name: str, record_class: type[RecordT]) -> None:
        hints = get_type_hints(record_class)
        self.names = tuple(field.name for field in fields(record_class))  # type: ignore[arg-type]  # it is a dataclass
        self.columns = ", ".join(self.names)
        self.insert = f"INSERT INTO {name} ({self.columns}) VALUES ({', '.join('?' * len(self.names))})"
        self.select = f"SELECT {self.columns} FROM {name}"
        self._record_class = record_class
        self._values = attrgetter(*self.names)
        conversions = [
            (position, _CONVERSIONS_BY_NAME.get(name) or _CONVERSIONS_BY_TYPE.get(_required(hints[name])))
            for position, name in enumerate(self.names)
        ]
        self._to_row = [(position, pair[0]) for position, pair in conversions if pair is not None]
        self._from_row = [(position, pair[1]) for position, pair in conversions if pair is not None]

    def row(self, record: RecordT) -> Row:
        """Return the values of a record's columns."""
        return _converted(self._values(record), self._to_row)

    def record(self, row: Row) -> RecordT:
        """Return the record of all columns in their order."""
        return self._record_class(*_converted(row, self._from_row))


def _required(hint: Any) -> Any:
    # Of `str | None` the part that is not None.
    arguments = [part for part in getattr(hint, "__args__", ()) if part is not type(None)]
    return arguments[0] if type(None) in getattr(hint, "__args__", ()) else hint


def _converted(values: Row, conversions: list[tuple[int, Convert]]) -> Row:
    converted = list(values)
    for position, convert in conversions:
        if converted[position] is not None:
            converted[position] = convert(converted[position])
    return tuple(converted)


SALES = Table("sales", Sale)
STATUS_REPORTS = Table("status_reports", StatusReport)
CARDS = Table("cards", StoredCard)
ACCESS_TOKENS = Table("access_tokens", StoredAccessToken)
IDEMPOTENCY_RECORDS = Table("idempotency_records", IdempotencyRecord)

CHANGING = ("update_time", "state", "check_time", "client_card_id", "orderid", "amount_differs")
"""The columns of a sale that its changes keep: what of it is shown and can change."""
changing_values = itemgetter(*(SALES.names.index(name) for name in CHANGING))
"""Returns the values of these columns of a row of sales."""
_CHANGE_COLUMNS = ", ".join(f"{'change' if name in CHANGING else 'sale'}.{name}" for name in SALES.names)
SELECT_CHANGES = (
    f"SELECT change.position, {_CHANGE_COLUMNS} FROM sale_changes AS change JOIN sales AS sale USING (invoice_id)"
)


def change_of(row: Row) -> SaleChange:
    """Return the record of a row of `SELECT_CHANGES`."""
    return SaleChange(row[0], SALES.record(row[1:]))
