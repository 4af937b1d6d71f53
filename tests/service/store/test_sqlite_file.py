"""An SQLite file is opened soundly, or not at all."""

from pathlib import Path

import apsw
import pytest

from service.errors import StoreUnavailable
from service.store.sqlite import SqliteStore
from service.store.sqlite import file as sqlite_file
from service.store.sqlite.file import SqliteTransactions, open_connection, open_writer, require_sound_version

pytestmark = pytest.mark.anyio


def test_a_new_file_is_for_its_owner_alone_and_commits_reach_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "sale.db"
    connection = open_writer(path)

    assert path.stat().st_mode & 0o777 == 0o600
    assert connection.pragma("journal_mode") == "wal"
    assert connection.pragma("synchronous") == 2
    connection.close()


def test_the_schema_is_made_once(tmp_path: Path) -> None:
    for _ in range(2):
        connection = open_writer(tmp_path / "sale.db")
        assert connection.pragma("user_version") == 2
        connection.close()


def test_a_file_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    connection = open_writer(tmp_path / "sale.db")
    connection.pragma("user_version", 99)
    connection.close()

    with pytest.raises(RuntimeError, match="version 99"):
        open_writer(tmp_path / "sale.db")


@pytest.mark.parametrize("version", ["3.40.1", "3.51.2"])
def test_a_library_that_can_lose_commits_is_refused(version: str) -> None:
    with pytest.raises(RuntimeError, match="can lose committed writes"):
        require_sound_version(version)


@pytest.mark.parametrize("version", ["3.51.3", "3.54.1", "4.0.0"])
def test_a_sound_library_is_taken(version: str) -> None:
    require_sound_version(version)


def test_what_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "sale.db").write_bytes(b"nonsense" * 1000)

    with pytest.raises(StoreUnavailable):
        open_writer(tmp_path / "sale.db")


def test_a_lock_that_is_held_too_long_makes_the_store_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT_MS", 20)
    first, second = (SqliteTransactions(open_writer(tmp_path / "sale.db")) for _ in range(2))
    first.begin()

    with pytest.raises(StoreUnavailable):
        second.begin()

    first.commit()
    second.begin()
    second.rollback()


async def test_two_processes_share_a_file(tmp_path: Path) -> None:
    stores = [SqliteStore(tmp_path / "sale.db") for _ in range(2)]
    await stores[0].ping()
    await stores[1].ping()
    for store in stores:
        await store.close()


def test_after_a_failed_sync_nothing_more_is_written(tmp_path: Path) -> None:
    class FailingConnection:
        """A disk that loses what it is told to sync."""

        def __init__(self, connection: apsw.Connection) -> None:
            self.connection = connection

        @property
        def in_transaction(self) -> bool:
            return self.connection.in_transaction

        def execute(self, statement: str) -> object:
            if statement == "COMMIT":
                raise apsw.IOError
            return self.connection.execute(statement)

    open_writer(tmp_path / "sale.db").close()
    connection = open_connection(tmp_path / "sale.db")
    transactions = SqliteTransactions(FailingConnection(connection))  # type: ignore[arg-type]
    transactions.begin()
    with pytest.raises(StoreUnavailable):
        transactions.commit()

    assert not connection.in_transaction
    with pytest.raises(StoreUnavailable):
        transactions.begin()
    connection.close()
