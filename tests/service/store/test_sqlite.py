"""What the store on SQLite does with a file that is not its alone."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from service.errors import ErrorReason, StoreUnavailable
from service.store.sqlite import SqliteStore
from service.store.sqlite import file as sqlite_file

pytestmark = pytest.mark.anyio

HOLD_THE_WRITE_LOCK = """
import sys, apsw
connection = apsw.Connection(sys.argv[1])
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sale.db"


@pytest.fixture
async def store(path: Path, anyio_backend: str) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path)
    yield store
    await store.close()


@contextmanager
def write_lock_of_another_process(path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Hold the write lock until a line is written to the process, or the block ends."""
    command = [sys.executable, "-c", HOLD_THE_WRITE_LOCK, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.communicate(b"\n", timeout=10)


async def test_a_write_waits_for_that_of_another_process_and_reads_do_not(store: SqliteStore, path: Path) -> None:
    with write_lock_of_another_process(path) as process:
        writing = asyncio.create_task(store.ping())
        assert await asyncio.wait_for(store.find_sale("INV-1"), 1) is None
        await asyncio.sleep(0.1)
        assert not writing.done()

        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        await asyncio.wait_for(writing, 5)


async def test_a_lock_that_another_process_holds_too_long_refuses_writes_and_then_lets_them_in(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT_MS", 20)
    with write_lock_of_another_process(path):
        with pytest.raises(StoreUnavailable) as refusal:
            await store.ping()
        assert refusal.value.reason == ErrorReason.ERROR_REASON_SERVER_UNAVAILABLE
        assert refusal.value.retry_after_seconds == 1
        assert str(path) not in str(refusal.value)
        assert await store.find_sale("INV-1") is None

    await store.ping()


async def test_the_log_beside_the_file_is_for_its_owner_alone_too(store: SqliteStore, path: Path) -> None:
    await store.ping()

    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}
    assert path.with_name("sale.db-wal").exists()


async def test_a_file_of_a_newer_program_is_refused_and_stays_as_it_is(path: Path) -> None:
    newer = apsw.Connection(str(path))
    newer.pragma("user_version", 99)
    newer.close()

    with pytest.raises(RuntimeError, match="version 99"):
        SqliteStore(path)

    again = apsw.Connection(str(path))
    assert again.pragma("user_version") == 99
    assert again.execute("SELECT count(*) FROM sqlite_schema").get == 0
    again.close()


async def test_a_library_that_can_lose_commits_opens_no_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")

    with pytest.raises(RuntimeError, match="can lose committed writes"):
        SqliteStore(path)

    assert not path.exists()


async def test_a_folder_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        SqliteStore(tmp_path / "nowhere" / "sale.db")
