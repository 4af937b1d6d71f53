"""Statements about the changes of sales.

Transactions commit in another order than that in which they began, and a number that is drawn within one can become
visible after a larger one. So changes are written without a position. Afterwards `order_changes`, one transaction at a
time, gives positions without a gap to those that it sees committed: in the order of their times, which are of one
clock, so that a change that was acknowledged before another was begun has the smaller position. A change that becomes
visible later gets a larger position than all that were given before.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from service.store.postgresql.database import Connection
from service.store.postgresql.tables import SELECT_CHANGES, change_of
from service.store.records import SaleChange
from service.store.tables import CHANGING

BATCH = 1000
"""How many changes get their positions in one transaction, at least if there are as many."""
_KEPT = ", ".join(CHANGING)
_LOCK = "SELECT 1 FROM change_order FOR UPDATE"
_PLACE = f"""
WITH taken AS (
    DELETE FROM unordered_changes
    WHERE change_time = ANY (ARRAY(SELECT change_time FROM unordered_changes ORDER BY change_time LIMIT {BATCH}))
    RETURNING *
), placed AS (
    INSERT INTO sale_changes (position, order_time, invoice_id, {_KEPT})
    SELECT last_position + row_number() OVER in_order, greatest(last_time, max(update_time) OVER in_order), invoice_id,
        {_KEPT}
    FROM taken CROSS JOIN change_order WINDOW in_order AS (ORDER BY change_time, invoice_id)
    RETURNING position, order_time
), ends AS (SELECT count(*) AS count, max(position) AS position, max(order_time) AS order_time FROM placed)
UPDATE change_order SET last_position = ends.position, last_time = ends.order_time
FROM ends WHERE ends.count > 0 RETURNING ends.count
"""
# In the order of the index, which knows what is gone: the table is full of it.
_HAS_UNORDERED = "SELECT (SELECT change_time FROM unordered_changes ORDER BY change_time LIMIT 1) IS NOT NULL"
# With the limit in its words the plan is made for few rows.
_SELECT_AFTER = (
    f"SELECT purged_position, last_position, ({_HAS_UNORDERED}) AS more, found.* FROM change_order LEFT JOIN LATERAL"
    f" ({SELECT_CHANGES} WHERE change.position > $1 ORDER BY change.position LIMIT {{limit}}) AS found ON TRUE"
    " ORDER BY found.position"
)
_BEFORE_CHANGE = 3
"""How many columns are in front of those of the change."""
_SELECT_ENDS = "SELECT purged_position, last_position FROM change_order"
_SELECT_TIME = "SELECT order_time FROM sale_changes WHERE position = $1"
_SELECT_OLDEST = (
    "SELECT max(position) FROM"
    " (SELECT position, order_time FROM sale_changes ORDER BY position LIMIT $2) AS oldest WHERE order_time < $1"
)
_DELETE_UP_TO = "DELETE FROM sale_changes WHERE position <= $1 RETURNING 1"
_NOTE_PURGED = "UPDATE change_order SET purged_position = greatest(purged_position, $1)"


class FoundChanges(NamedTuple):
    """Changes after a position."""

    changes: Sequence[SaleChange]
    purged: int
    """The position up to which changes were purged."""
    last: int
    """The position of the last change."""
    has_unordered: bool
    """Whether there are more, without a position."""


async def order_changes(connection: Connection) -> int:
    """Give positions to the oldest of the changes that have none.

    Returns:
        How many got one; fewer than `BATCH` if those are all that were committed when it began.
    """
    async with connection.transaction():
        await connection.execute(_LOCK)
        # A statement sees what was committed when it begins: this one all that the lock was waited for.
        return await connection.fetchval(_PLACE) or 0


async def has_unordered(connection: Connection) -> bool:
    """Tell whether there are changes without a position."""
    return bool(await connection.fetchval(_HAS_UNORDERED))


async def find_changes(connection: Connection, after: int, limit: int) -> FoundChanges:
    """Return at most so many changes that have a position after this one, and whose sales are not purged."""
    rows = await connection.fetch(_SELECT_AFTER.format(limit=int(limit)), after)
    purged, last, more = rows[0][:_BEFORE_CHANGE]
    changes = [change_of(row[_BEFORE_CHANGE:]) for row in rows if row["position"] is not None]
    return FoundChanges(changes, purged, last, more)


async def position_before(connection: Connection, moment: datetime) -> int:
    """See `service.store.Store`; among those that have a position."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        before, last = await ends(connection)
        after = last + 1
        while before + 1 < after:  # changes up to `before` were made before, those from `after` on were not
            middle = (before + after) // 2
            if await connection.fetchval(_SELECT_TIME, middle) < moment:
                before = middle
            else:
                after = middle
    return before


async def last_position(connection: Connection) -> int:
    """See `service.store.Store`; of those that have one."""
    _, last = await ends(connection)
    return last


async def purge_changes(connection: Connection, made_before: datetime, limit: int) -> int:
    """See `service.store.Store`; of those that have a position."""
    async with connection.transaction():
        await connection.execute(_LOCK)
        end = await connection.fetchval(_SELECT_OLDEST, made_before, limit)
        if end is None:
            return 0
        await connection.execute(_NOTE_PURGED, end)
        return len(await connection.fetch(_DELETE_UP_TO, end))


async def ends(connection: Connection) -> tuple[int, int]:
    """Return the position up to which changes were purged, and the last one."""
    (row,) = await connection.fetch(_SELECT_ENDS)
    return row["purged_position"], row["last_position"]
