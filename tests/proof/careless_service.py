"""The service with synchronous=NORMAL, a commit of which no sync follows: a control that has to lose what it told."""

from pathlib import Path

import apsw

from service.program.start import main
from service.store.sqlite import file

_open_soundly = file.open_connection


def _open_carelessly(path: Path) -> apsw.Connection:
    connection = _open_soundly(path)
    connection.pragma("synchronous", "NORMAL")
    return connection


if __name__ == "__main__":
    file.open_connection = _open_carelessly
    main()
