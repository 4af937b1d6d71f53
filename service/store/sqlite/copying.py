"""Reading all that a file holds, for a copy."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw

from service.store.sqlite.changes import ends
from service.store.sqlite.file import BUSY_TIMEOUT_MS, errors_as_unavailable
from service.store.sqlite.tables import COPIED, placeholder
from service.store.tables import Page, Row, Table

# Of the first sale as many are read again as the page before has had, to number the others.
_NUMBERED_REPORTS = (
    "(SELECT *, row_number() OVER (PARTITION BY invoice_id ORDER BY number) AS arrival FROM (SELECT *, rowid AS number"
    " FROM status_reports WHERE invoice_id >= ?1 ORDER BY invoice_id, rowid LIMIT ?2 + ?3))"
)


def _after(table: Table[Any]) -> str:
    return f"({table.key}) > ({', '.join(placeholder(n + 1) for n in range(len(table.key_types)))})"


_PAGES = {
    name: f"SELECT {table.columns} FROM {_NUMBERED_REPORTS if name == 'status_reports' else name}"
    f" WHERE {_after(table)} ORDER BY {table.key} LIMIT {placeholder(len(table.key_types) + 1)}"
    for name, table in COPIED.items()
}


class CopySource:
    """A file that is copied. It is only read, each page by itself, so that a server can go on with it.

    Every method raises `StoreUnavailable` when the file can't be read.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        with errors_as_unavailable():
            self._connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
            self._connection.set_busy_timeout(BUSY_TIMEOUT_MS)

    def pages(self, name: str, size: int) -> Iterator[Page]:
        """Return a whole table, in the order of its key.

        Args:
            name: the table, one of `COPIED`.
            size: how many records are in a page.
        """
        table = COPIED[name]
        after: Row = tuple(type() for type in table.key_types)  # '', b'' and 0 are before every key
        is_last = False
        while not is_last:
            rows = self._rows(_PAGES[name], (*after, size))
            is_last = len(rows) < size
            until = None if is_last else table.key_of(rows[-1])
            yield Page([table.record(row) for row in rows], after, until)
            after = until or after

    def count(self, name: str) -> int:
        """Return how many rows a table has."""
        ((count,),) = self._rows(f"SELECT count(*) FROM {name}", ())
        return int(count)

    def ends(self) -> tuple[int, int]:
        """Return the position up to which changes were purged, and the last one."""
        with errors_as_unavailable():
            return ends(self._connection)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _rows(self, statement: str, bindings: Row) -> list[Any]:
        with errors_as_unavailable():
            return self._connection.execute(statement, bindings).fetchall()
