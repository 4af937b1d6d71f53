"""Whether a database is whole."""

from contextlib import closing
from pathlib import Path

import apsw


def faults_of(path: Path) -> list[str]:
    """Return what SQLite finds wrong with a file."""
    with closing(apsw.Connection(str(path))) as connection:
        return [str(line) for (line,) in connection.execute("PRAGMA integrity_check") if line != "ok"]
