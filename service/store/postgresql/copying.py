"""Comparing what is stored with a copy's source, and writing what is missing or differs."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

from service.store.postgresql import changes
from service.store.postgresql.database import OwnConnection
from service.store.postgresql.tables import COPIED, placeholder, type_name
from service.store.tables import Row, Table


def _find(table: Table[Any]) -> str:
    keys = ", ".join(f"{placeholder(n)}::{type_name(type)}[]" for n, type in enumerate(table.key_types, start=1))
    return f"{table.select} WHERE ({table.key}) IN (SELECT * FROM unnest({keys}))"


def _replace(table: Table[Any]) -> str:
    values = ", ".join(f"{name} = excluded.{name}" for name in table.names)
    return f"{table.insert} ON CONFLICT ({table.key}) DO UPDATE SET {values}"


_FIND = {name: _find(table) for name, table in COPIED.items()}
_REPLACE = {name: _replace(table) for name, table in COPIED.items()}
# The tables grow while the statements are used: a plan that was made for empty ones would read them whole each time.
_PLAN_EACH_TIME = "SET plan_cache_mode = force_custom_plan"
_SELECT_PURGED = "SELECT purged_position FROM change_order"
_DELETE_PURGED = "DELETE FROM sale_changes WHERE position <= $1"
_NOTE_PURGED = "UPDATE change_order SET purged_position = $1, last_position = greatest(last_position, $1)"
_NOTE_LAST = (
    "UPDATE change_order SET last_position = last.position, last_time = last.order_time"
    " FROM (SELECT position, order_time FROM sale_changes ORDER BY position DESC LIMIT 1) AS last"
)


class Difference(NamedTuple):
    """Rows of the source that are not here as they are there."""

    missing: Sequence[Row]
    different: Sequence[Row]


class CopyTarget:
    """A database that is copied to.

    Args:
        connection: the copy's own; its schema is current.
    """

    def __init__(self, connection: OwnConnection) -> None:
        self._connection = connection

    async def open(self) -> None:
        """Make it ready for use."""
        await self._connection.execute(_PLAN_EACH_TIME)

    async def compare(self, name: str, records: Sequence[Any]) -> Difference:
        """Tell which of some records of a table, one of `COPIED`, are not stored as they are."""
        table = COPIED[name]
        rows = {table.key_of(row): row for row in map(table.row, records)}
        found = await self._connection.fetch(_FIND[name], *map(list, zip(*rows, strict=True)))
        stored = {table.key_of(row): tuple(row) for row in found}
        return Difference(
            [row for key, row in rows.items() if key not in stored],
            [row for key, row in rows.items() if stored.get(key, row) != row],
        )

    async def write(self, name: str, difference: Difference) -> None:
        """Store rows of a table, one of `COPIED`, as the source has them."""
        if not any(difference):
            return
        async with self._connection.transaction():
            # What differs first: a card that was deleted makes room for the same one that was saved again.
            await self._connection.executemany(_REPLACE[name], difference.different)
            await self._connection.copy_records_to_table(
                name, records=difference.missing, columns=list(COPIED[name].names)
            )
            if name == "sale_changes":
                await self._connection.execute(_NOTE_LAST)

    async def purge_changes(self, position: int) -> None:
        """Remove the changes up to a position, as the source has."""
        async with self._connection.transaction():
            await self._connection.execute(_DELETE_PURGED, position)
            await self._connection.execute(_NOTE_PURGED, position)

    async def keys(self, name: str, size: int) -> AsyncIterator[Sequence[Row]]:
        """Return the keys of all rows of a table whose key is one text, in pages of a size."""
        key = COPIED[name].key
        statement = f"SELECT {key} FROM {name} WHERE {key} > $1 ORDER BY {key} LIMIT $2"
        after = ""
        while rows := await self._connection.fetch(statement, after, size):
            yield [tuple(row) for row in rows]
            after = rows[-1][0]

    async def count(self, name: str) -> int:
        """Return how many rows a table has."""
        return int(await self._connection.fetchval(f"SELECT count(*) FROM {name}"))

    async def has_unordered(self) -> bool:
        """Tell whether there are changes without a position: no copy makes any."""
        return await changes.has_unordered(self._connection)

    async def purged_position(self) -> int:
        """Return the position up to which changes were purged."""
        return int(await self._connection.fetchval(_SELECT_PURGED))

    async def last_position(self) -> int:
        """Return the position of the last change."""
        return await changes.last_position(self._connection)

    async def analyze(self) -> None:
        """Let the planner know what the tables hold now; by itself it would learn so a while later."""
        await self._connection.execute(f"ANALYZE {', '.join(COPIED)}")
