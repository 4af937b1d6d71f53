"""Checks of the store: whether it can be used, by this version, and whether time goes forward in it."""

import asyncio
import os
import shutil
import stat
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from gateway.program.settings import ConfigurationError
from service.errors import StoreUnavailable
from service.identifiers import utc_now
from service.program.doctor.findings import Finding, Grade
from service.program.store_settings import StoreSettings
from service.store.migrations import SchemaMismatch, require_current
from service.store.sqlite.inspection import inspect

_TOLERANCE = timedelta(seconds=2)
_MIB = 1 << 20
_LITTLE_BYTES, _TOO_LITTLE_BYTES = 1024 * _MIB, 64 * _MIB
_LITTLE_SHARE = 0.05
_QUICK_SECONDS = 5.0
_BACK_UP = "Back the file up before: an older program refuses it afterwards."
_MATCH = "The program and the schema must match: do what it says."
_RESTORE = "Stop the server, keep a copy of the file with its -wal and -shm, and restore the last backup."


def check_store(settings: StoreSettings, now: datetime, *, workers: int) -> Iterator[Finding]:
    """Tell what state the store is in.

    Args:
        settings: which one.
        now: the present.
        workers: how many processes a server has.
    """
    if settings.path is not None:
        yield from _check_file(settings.path, now)
    else:
        yield from _check_database(settings, workers)


def _check_file(path: Path, now: datetime) -> Iterator[Finding]:
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    yield disk_finding(*shutil.disk_usage(folder)[::2])
    yield from _check_modes(path, folder)
    if not path.exists():
        yield Finding("store", Grade.OK, f"there is no file {path} yet: serve makes it")
        return
    try:
        state = inspect(path, _QUICK_SECONDS)
    except StoreUnavailable as error:
        yield Finding("store", Grade.FAIL, f"{path} can't be read: {error.__cause__ or error}", _RESTORE)
        return
    yield schema_finding(state.version, state.known_version, migrates_itself=True)
    if state.faults:
        yield Finding("store integrity", Grade.FAIL, f"{path}: {state.faults[0]}", _RESTORE)
    else:
        yield Finding("store integrity", Grade.OK, "sound" if state.is_whole else "sound as far as was looked in 5 s")
    yield time_finding(state.last_change, now)


def _check_modes(path: Path, folder: Path) -> Iterator[Finding]:
    others = stat.S_IRWXG | stat.S_IRWXO
    if not os.access(folder, os.W_OK | os.X_OK) or (path.exists() and not os.access(path, os.R_OK | os.W_OK)):
        what = f"{path if path.exists() else folder} can't be written by this user"
        yield Finding("store file", Grade.FAIL, what, "Give it to the user of the server: chown.")
    elif path.exists() and path.stat().st_mode & others:
        yield Finding("store file", Grade.WARN, f"others may use {path}", f"chmod 600 {path}: sales are in it.")
    elif folder.stat().st_mode & stat.S_IWOTH and not folder.stat().st_mode & stat.S_ISVTX:
        what = f"everybody may put files into {folder}"
        yield Finding("store file", Grade.WARN, what, f"chmod 700 {folder}: the file could be replaced.")
    else:
        yield Finding("store file", Grade.OK, f"{path if path.exists() else folder} is for its owner to write")


def disk_finding(total: int, free: int) -> Finding:
    """Return what the space on the disk of the store comes to.

    Args:
        total: bytes of it.
        free: bytes that are free.
    """
    found = f"{free // _MIB} MiB of {total // _MIB} are free"
    if free < _TOO_LITTLE_BYTES:
        return Finding("disk", Grade.FAIL, found, "Make room: a full disk refuses every sale with 4000.")
    if free < _LITTLE_BYTES or free < total * _LITTLE_SHARE:
        return Finding("disk", Grade.WARN, found, "Make room, or set housekeeping.retention: a sale takes 2 KiB.")
    return Finding("disk", Grade.OK, found)


def schema_finding(version: int, known: int, *, migrates_itself: bool) -> Finding:
    """Return what the version of a schema comes to.

    Args:
        version: that the store has.
        known: that this program works with.
        migrates_itself: whether `serve` brings an older one up to date.
    """
    try:
        require_current(version, known)
    except SchemaMismatch as error:
        if version < known and migrates_itself:
            what = f"the schema is version {version}; serve brings it to {known} when it starts"
            return Finding("store schema", Grade.WARN, what, _BACK_UP)
        return Finding("store schema", Grade.FAIL, str(error), _MATCH)
    return Finding("store schema", Grade.OK, f"is version {version}, which this program works with")


def time_finding(last_change: datetime | None, now: datetime) -> Finding:
    """Return whether time goes forward: the last change that is stored must not be later than the present.

    Args:
        last_change: its time; None if there is none.
        now: the present.
    """
    if last_change is None or last_change <= now + _TOLERANCE:
        return Finding("store time", Grade.OK, "no change is later than now")
    what = f"the last change is of {last_change.isoformat()}, {last_change - now} after now: the clock went back"
    return Finding("store time", Grade.FAIL, what, "Set this host's clock; until then sessions last that much longer.")


def clock_difference_finding(difference: timedelta) -> Finding:
    """Return what a difference between this host's clock and the database's comes to."""
    found = f"differs by {abs(difference).total_seconds():.1f} s from the database's"
    if abs(difference) <= _TOLERANCE:
        return Finding("database clock", Grade.OK, found)
    return Finding("database clock", Grade.WARN, found, "Let both hosts keep their clocks by the same servers.")


def _check_database(settings: StoreSettings, workers: int) -> Iterator[Finding]:
    from service.program.doctor.database import inspect_database  # noqa: PLC0415  # with the driver it is 3 MB

    try:
        state = asyncio.run(inspect_database(settings))
    except ConfigurationError as error:
        yield Finding("store", Grade.FAIL, str(error), "Let this host and user in, or correct store.url.")
        return
    yield Finding("store", Grade.OK, f"{settings.place} is reached, {state.server}")
    yield schema_finding(state.version, state.known_version, migrates_itself=False)
    if not state.keeps_commits:
        advice = "ALTER SYSTEM SET synchronous_commit = on: what was acknowledged could be lost."
        yield Finding("database commits", Grade.FAIL, "synchronous_commit is off", advice)
    yield clock_difference_finding(state.clock - state.asked_at)
    yield time_finding(state.last_change, utc_now())
    needed = workers * (settings.connections + 1)
    if state.free_connections + state.own_connections < needed:
        found = f"{state.free_connections} are free, {needed} are needed by a server like this"
        yield Finding("database connections", Grade.WARN, found, "Raise max_connections, or lower store.connections.")
    else:
        yield Finding("database connections", Grade.OK, f"{state.free_connections} are free, {needed} are needed")
