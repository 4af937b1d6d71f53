"""Comparing what is stored with a copy's source, and writing what is missing or differs."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from service.store.postgresql.changes import ends
from service.store.postgresql.database import Connection
from service.store.postgresql.tables import COPIED, typed_placeholders
from service.store.tables import Page, Row, Table


def _key(table: Table[Any], comparison: str, first: int) -> str:
    return f"({table.key}) {comparison} ({typed_placeholders(table.key_types, first)})"


def _replace(table: Table[Any]) -> str:
    values = ", ".join(f"{name} = excluded.{name}" for name in table.names)
    return f"{table.insert} ON CONFLICT ({table.key}) DO UPDATE SET {values}"


_FIND_FROM = {name: f"{table.select} WHERE {_key(table, '>', 1)}" for name, table in COPIED.items()}
_FIND_BETWEEN = {
    name: f"{_FIND_FROM[name]} AND {_key(table, '<=', 1 + len(table.key_types))}" for name, table in COPIED.items()
}
_DELETE = {name: f"DELETE FROM {name} WHERE {_key(table, '=', 1)}" for name, table in COPIED.items()}
_REPLACE = {name: _replace(table) for name, table in COPIED.items()}
# The tables grow while the statements are used: a plan that was made for empty ones would read them whole each time.
_PLAN_EACH_TIME = "SET plan_cache_mode = force_custom_plan"
_BEGIN = "UPDATE store_use SET use = 'COPYING' WHERE use <> 'SERVING' RETURNING 1"
_END = "UPDATE store_use SET use = 'COPIED' WHERE use = 'COPYING' RETURNING 1"
_STILL_COPYING = "SELECT 1 FROM store_use WHERE use = 'COPYING' FOR SHARE"
_NOTE_ENDS = (
    "UPDATE change_order SET purged_position = $1, last_position = greatest($1, coalesce(last.position, 0)),"
    " last_time = coalesce(last.order_time, '-infinity') FROM (SELECT max(position) AS position,"
    " max(order_time) AS order_time FROM sale_changes) AS last"
)


class Difference(NamedTuple):
    """What of a page is not here as it is in the source."""

    missing: Sequence[Row]
    """Rows of the source."""
    different: Sequence[Row]
    """Rows of the source, of which others are here."""
    surplus: Sequence[Row]
    """Keys of rows that the source has not, or not any more."""


class CopyOvertaken(Exception):
    """Another copy into the database has ended since this one began; nothing more was written."""


class CopyTarget:
    """A database that is copied to.

    Args:
        connection: the copy's own; its schema is current.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def begin(self) -> bool:
        """Let no server use the database from now on; return whether none has done so yet."""
        await self._connection.execute(_PLAN_EACH_TIME)
        return await self._connection.fetchval(_BEGIN) is not None

    async def end(self) -> None:
        """Let servers use the database: it is equal to the source.

        Raises:
            CopyOvertaken: they may already.
        """
        if await self._connection.fetchval(_END) is None:
            raise CopyOvertaken

    async def compare(self, name: str, page: Page) -> Difference:
        """Tell what of a page of a table, one of `COPIED`, is not stored as it is."""
        table = COPIED[name]
        rows = {table.key_of(row): row for row in map(table.row, page.records)}
        if page.until is None:
            found = await self._connection.fetch(_FIND_FROM[name], *page.after)
        else:
            found = await self._connection.fetch(_FIND_BETWEEN[name], *page.after, *page.until)
        stored = {table.key_of(row): tuple(row) for row in found}
        return Difference(
            [row for key, row in rows.items() if key not in stored],
            [row for key, row in rows.items() if stored.get(key, row) != row],
            [key for key in stored if key not in rows],
        )

    async def write(self, name: str, difference: Difference) -> None:
        """Make a page of a table, one of `COPIED`, as the source has it.

        Raises:
            CopyOvertaken: servers may use the database since another copy has ended.
        """
        if not any(difference):
            return
        async with self._connection.transaction():
            await self._require_copying()
            # What is too much and what differs first: a card that was deleted makes room for the same one, saved again.
            await self._connection.executemany(_DELETE[name], difference.surplus)
            await self._connection.executemany(_REPLACE[name], difference.different)
            await self._connection.copy_records_to_table(
                name, records=difference.missing, columns=list(COPIED[name].names)
            )

    async def note_ends(self, purged_position: int) -> None:
        """Let the order of the changes go on where the copied ones end; up to this position they were purged."""
        async with self._connection.transaction():
            await self._require_copying()
            await self._connection.execute(_NOTE_ENDS, purged_position)

    async def _require_copying(self) -> None:
        # Held until the transaction ends: no server begins meanwhile.
        if await self._connection.fetchval(_STILL_COPYING) is None:
            raise CopyOvertaken

    async def ends(self) -> tuple[int, int]:
        """Return the position up to which changes were purged, and the last one."""
        return await ends(self._connection)

    async def analyze(self) -> None:
        """Let the planner know what the tables hold now; by itself it would learn so a while later."""
        await self._connection.execute(f"ANALYZE {', '.join(COPIED)}")
