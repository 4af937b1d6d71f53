"""Statements about the changes of sales."""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import apsw

from service.identifiers import microseconds
from service.store.records import SaleChange
from service.store.rules import require_complete
from service.store.sqlite.tables import SELECT_CHANGES, change_of

_SELECT_AFTER = f"{SELECT_CHANGES} WHERE change.position > ? ORDER BY change.position LIMIT ?"
_SELECT_ENDS = (
    "SELECT position, max(position, coalesce((SELECT max(position) FROM sale_changes), 0)) FROM purged_changes"
)
_SELECT_TIME = "SELECT order_time FROM sale_changes WHERE position = ?"
_SELECT_OLDEST = (
    "SELECT max(position) FROM (SELECT position, order_time FROM sale_changes ORDER BY position LIMIT ?2)"
    " WHERE order_time < ?1"
)
_DELETE_UP_TO = "DELETE FROM sale_changes WHERE position <= ?"
_NOTE_PURGED = "UPDATE purged_changes SET position = max(position, ?)"


def list_changes(connection: apsw.Connection, after: int, limit: int, *, skip_purged: bool) -> Sequence[SaleChange]:
    """See `service.store.Store`."""
    with connection:  # both are read from one state of the database
        purged, last = ends(connection)
        rows: list[Any] = connection.execute(_SELECT_AFTER, (after, limit)).fetchall()
    if not skip_purged:
        require_complete(after, [row[0] for row in rows], purged, last)
    return [change_of(row) for row in rows]


def position_before(connection: apsw.Connection, moment: datetime) -> int:
    """See `service.store.Store`."""
    with connection:
        purged, last = ends(connection)
        positions = range(purged + 1, last + 1)
        found = bisect_left(
            positions, microseconds(moment), key=lambda position: connection.execute(_SELECT_TIME, (position,)).get
        )
    return purged + found


def last_position(connection: apsw.Connection) -> int:
    """See `service.store.Store`."""
    return ends(connection)[1]


def purge_changes(connection: apsw.Connection, made_before: datetime, limit: int) -> int:
    """See `service.store.Store`."""
    end = connection.execute(_SELECT_OLDEST, (microseconds(made_before), limit)).get
    if end is None:
        return 0
    connection.execute(_NOTE_PURGED, (end,))
    connection.execute(_DELETE_UP_TO, (end,))
    return connection.changes()


def ends(connection: apsw.Connection) -> tuple[int, int]:
    """Return the position up to which changes were purged, and the last one."""
    purged, last = connection.execute(_SELECT_ENDS).get
    return purged, last
