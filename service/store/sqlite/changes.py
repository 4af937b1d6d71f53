"""Statements about the changes of sales."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import apsw

from service.identifiers import microseconds
from service.store import PositionUnknown
from service.store.records import SaleChange
from service.store.sqlite.tables import SELECT_CHANGES, change_of

_SELECT_AFTER = f"{SELECT_CHANGES} WHERE change.position > ? ORDER BY change.position LIMIT ?"
_SELECT_ENDS = (
    "SELECT coalesce((SELECT min(position) FROM sale_changes), 0),"
    " coalesce((SELECT max(position) FROM sale_changes), 0)"
)
_SELECT_BEFORE = "SELECT position FROM sale_changes WHERE update_time < ? ORDER BY position DESC LIMIT 1"
_SELECT_OLDEST = "SELECT position, update_time FROM sale_changes ORDER BY position LIMIT ?"
_DELETE_UP_TO = "DELETE FROM sale_changes WHERE position <= ? AND position < (SELECT max(position) FROM sale_changes)"


def list_changes(connection: apsw.Connection, after: int, limit: int) -> Sequence[SaleChange]:
    """See `service.store.Store`."""
    with connection:  # both are read from one state of the database
        first, last = connection.execute(_SELECT_ENDS).get
        rows = connection.execute(_SELECT_AFTER, (after, limit)).fetchall()
    if after and not first - 1 <= after <= last:
        raise PositionUnknown
    return [change_of(row) for row in rows]


def position_before(connection: apsw.Connection, moment: datetime) -> int:
    """See `service.store.Store`."""
    position: int | None = connection.execute(_SELECT_BEFORE, (microseconds(moment),)).get
    return position or 0


def last_position(connection: apsw.Connection) -> int:
    """See `service.store.Store`."""
    _, last = connection.execute(_SELECT_ENDS).get
    return int(last)


def purge_changes(connection: apsw.Connection, made_before: datetime, limit: int) -> int:
    """See `service.store.Store`."""
    end = 0
    rows: Iterable[Any] = connection.execute(_SELECT_OLDEST, (limit,)).fetchall()
    for position, update_time in rows:
        if update_time >= microseconds(made_before):
            break
        end = position
    connection.execute(_DELETE_UP_TO, (end,))
    return connection.changes()
