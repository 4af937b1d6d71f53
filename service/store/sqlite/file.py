"""Opening an SQLite file soundly: its version, its permissions, its settings, its schema, its errors."""

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from importlib.resources.abc import Traversable
from pathlib import Path

import apsw

from service.errors import StoreFailed, StoreUnavailable
from service.store import migrations
from service.store.migrations import numbered_steps, refuse_newer

FIRST_SOUND_VERSION = (3, 51, 3)
"""Before it, two connections that commit or checkpoint at the same time could lose pages of the log for good."""
BUSY_TIMEOUT_MS = 2000
"""How long to wait for another process's write. Twice that is within the default deadline of a call."""
_BUSY_STEP_SECONDS = 0.0005
_CHECKPOINT_PAGES = 1000
"""How long the log may get before it is moved into the file; what SQLite itself would do."""

_UNAVAILABLE = (
    apsw.BusyError,
    apsw.LockedError,
    apsw.FullError,
    apsw.IOError,
    apsw.ReadOnlyError,
    apsw.CantOpenError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.PermissionsError,
    apsw.ProtocolError,
    apsw.NoMemError,
    apsw.InterruptError,
)


def open_writer(path: Path) -> apsw.Connection:
    """Open a file for writing; make it, readable by its owner alone, if there is none; bring its schema up to date.

    Args:
        path: the file; its folder exists.

    Raises:
        StoreUnavailable: the file can't be opened.
        RuntimeError: the SQLite library is not sound, or the file was written by a newer version of this program.
    """
    require_sound_version(sqlite_version())
    with errors_as_unavailable():
        _create_file(path)
        connection = open_connection(path)
        _migrate(connection)
        _empty_log(connection)
    return connection


class SqliteTransactions:
    """`service.store.group_commit.Transactions` on a connection.

    After an input/output error in a commit or in what moves the log into the file, nothing more is written: what the
    disk holds then is not known, and a sync that is tried again may report a success that it is not, for the kernel has
    dropped the pages. Only opening the store anew, which writes them again, makes it known.

    Args:
        connection: the connection.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        connection.set_busy_handler(None)  # whoever begins comes back by himself
        connection.set_wal_hook(
            self._note_log
        )  # in the place of SQLite's own, which moves the log and hides all errors
        self._connection = connection
        self._log_pages = 0
        self._failed = False

    def begin(self) -> bool:
        """Take the file's one write lock, unless another process has it; return whether it was taken."""
        if self._failed:
            raise StoreFailed
        with errors_as_unavailable():
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except apsw.BusyError:
                return False
        return True

    def commit(self) -> None:
        """Return once the log is on the disk."""
        with errors_as_unavailable():
            try:
                self._connection.execute("COMMIT")
            except apsw.IOError:
                self._fail()
                raise
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            if self._log_pages >= _CHECKPOINT_PAGES:
                self._move_log()

    def _note_log(self, connection: apsw.Connection, name: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK

    def _move_log(self) -> None:
        """Move what readers let go of the log into the file. The commit before is durable, whatever comes of it."""
        try:
            with suppress(apsw.BusyError, apsw.FullError):  # the log still has all; the next commit tries again
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.IOError:
            self._fail()

    def _fail(self) -> None:
        self._failed = True
        # Closing would move the log, and so sync it once more.
        self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)

    def rollback(self) -> None:
        """Undo what is open, unless SQLite has by itself."""
        with errors_as_unavailable():
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


def sqlite_version() -> str:
    """Return the version of the SQLite library."""
    return apsw.sqlite_lib_version()


def require_sound_version(version: str) -> None:
    """Refuse a version of SQLite that can lose what it committed.

    Raises:
        RuntimeError: it is one.
    """
    if tuple(int(part) for part in version.split(".")) < FIRST_SOUND_VERSION:
        raise RuntimeError(f"SQLite {version} can lose committed writes; install an apsw that brings a newer one")


def _create_file(path: Path) -> None:
    # SQLite gives the log the permissions of the file; sessions are for nobody else to read.
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise apsw.CantOpenError(error.strerror) from error


def open_connection(path: Path) -> apsw.Connection:
    """Open a file that exists, with the settings that durability and several processes need."""
    connection = apsw.Connection(str(path))
    connection.set_busy_handler(_Patience())
    connection.pragma("journal_mode", "WAL")
    connection.pragma("synchronous", "FULL")
    connection.pragma("trusted_schema", False)
    connection.pragma("secure_delete", True)  # of a deleted card nothing stays in the file
    return connection


class _Patience:
    """The busy handler of a connection that opens, reads or maintains: waits for another process's write."""

    def __init__(self) -> None:
        self._since = 0.0

    def __call__(self, attempts: int) -> bool:
        # SQLite's own handler sleeps up to 100 ms, in which other processes commit many times over. It is the time that
        # counts, not the attempts: where other threads are busy, one can take long.
        if attempts == 0:
            self._since = time.monotonic()
        time.sleep(_BUSY_STEP_SECONDS)
        return time.monotonic() - self._since < BUSY_TIMEOUT_MS / 1000


def known_version() -> int:
    """Return the version of the schema that this version of the program works with."""
    return len(_steps())


def require_current(path: Path) -> int:
    """Return the version of a file's schema, and refuse one that this version of the program does not work with.

    Raises:
        StoreUnavailable: the file can't be read.
        SchemaMismatch: it is one.
    """
    with errors_as_unavailable(), closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)  # a server may just be opening or closing it
        version: int = connection.pragma("user_version")
    migrations.require_current(version, known_version())
    return version


def _migrate(connection: apsw.Connection) -> None:
    steps = _steps()
    connection.transaction_mode = "IMMEDIATE"  # of several processes that start at once one migrates
    with connection:
        version = connection.pragma("user_version")
        refuse_newer(version, len(steps))
        for step in steps[version:]:
            connection.execute(step.read_text(encoding="utf-8"))
        if version < len(steps):
            connection.pragma("user_version", len(steps))


def _empty_log(connection: apsw.Connection) -> None:
    # After a sync that failed the log may read well and not be on the disk: what came after it in the log would be lost
    # with it. Moved into the file it is written anew.
    with suppress(apsw.BusyError):  # other processes are at work, so that it is none that failed
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)


def _steps() -> list[Traversable]:
    return numbered_steps("service.store.sqlite.migrations")


@contextmanager
def errors_as_unavailable() -> Iterator[None]:
    """Turn what SQLite raises when a file can't be read or written into `StoreUnavailable`."""
    try:
        yield
    except _UNAVAILABLE as error:
        raise StoreUnavailable from error
