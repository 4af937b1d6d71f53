"""Looking at a file without changing anything, not even making the files that belong to it."""

import time
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import apsw

from service.identifiers import from_microseconds
from service.store.sqlite.file import BUSY_TIMEOUT_MS, errors_as_unavailable, known_version

_LAST_CHANGE = "SELECT update_time FROM sale_changes ORDER BY position DESC LIMIT 1"
_HAS_CHANGES = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'sale_changes')"
_STEPS = 100_000
"""After so many steps of SQLite's machine it is looked whether time is over."""


class FileState(NamedTuple):
    """What state a file is in."""

    version: int
    """Of its schema."""
    known_version: int
    """That this program works with."""
    faults: Sequence[str]
    """What SQLite's own quick check says against it."""
    is_whole: bool
    """Whether that has come to its end."""
    last_change: datetime | None


def inspect(path: Path, seconds: float) -> FileState:
    """Return the state of a file, also while servers use it.

    Args:
        path: the file.
        seconds: how long its pages may be looked at.

    Raises:
        StoreUnavailable: it can't be read.
    """
    # To read a file that has a log SQLite makes what several processes share; without one nobody is at work on it, and
    # none is needed.
    log = path.with_name(f"{path.name}-wal")
    mode = "mode=ro" if log.exists() else "mode=ro&immutable=1"
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    uri = f"file:{quote(str(path.absolute()))}?{mode}"
    with errors_as_unavailable(), closing(apsw.Connection(uri, flags=flags)) as connection:
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        version: int = connection.pragma("user_version")
        last = connection.execute(_LAST_CHANGE).get if connection.execute(_HAS_CHANGES).get else None
        faults, is_whole = _quick_check(connection, seconds)
    return FileState(version, known_version(), faults, is_whole, None if last is None else from_microseconds(last))


def _quick_check(connection: apsw.Connection, seconds: float) -> tuple[Sequence[str], bool]:
    end = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
    try:
        told = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
    except apsw.InterruptError:
        return [], False
    finally:
        connection.set_progress_handler(None)
    return [] if told == ["ok"] else told, True
