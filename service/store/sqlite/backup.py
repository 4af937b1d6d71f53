"""A copy of a file that a server works on: one moment of it, whole, checked, and on the disk before it has its name."""

import os
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import apsw

from service.store.sqlite.file import BUSY_TIMEOUT_MS, errors_as_unavailable

_ALL_PAGES = -1
"""In one step, so in one read transaction: in several, each write of the server would begin the copy anew."""


class BackupBroken(RuntimeError):
    """What was copied is not sound; the message tells what SQLite has found."""


class Backup(NamedTuple):
    """What a copy holds."""

    schema_version: int
    bytes: int


def back_up(source: Path, target: Path) -> Backup:
    """Copy a file while servers go on with it.

    Args:
        source: the file; it is only read.
        target: the copy, readable by its owner alone; there is no such file yet.

    Raises:
        FileExistsError: there is one.
        OSError: the copy can't be written.
        StoreUnavailable: the source can't be read, or the copy can't be written.
        BackupBroken: the copy, and so the source, is damaged; it is removed.
    """
    unfinished = target.with_name(f"{target.name}.unfinished")
    if target.exists():
        raise FileExistsError(target)
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    try:
        version = _copy(source, unfinished)
        _sync(unfinished)
        os.link(unfinished, target)  # which does not replace one that somebody else has made meanwhile
    finally:
        unfinished.unlink()
    _sync(target.parent)
    return Backup(version, target.stat().st_size)


def _copy(source: Path, target: Path) -> int:
    """Copy everything, check it, and return the version of its schema."""
    with (
        errors_as_unavailable(),
        closing(apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)) as reader,
        closing(apsw.Connection(str(target))) as writer,
    ):
        reader.set_busy_timeout(BUSY_TIMEOUT_MS)
        with writer.backup("main", reader, "main") as backup:
            backup.step(_ALL_PAGES)
        if (found := writer.pragma("integrity_check")) != "ok":
            raise BackupBroken(str(found))
        writer.pragma("journal_mode", "DELETE")  # one file, nothing beside it; whoever serves it changes that
        return int(writer.pragma("user_version"))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
