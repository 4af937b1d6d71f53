"""Whatever a disk fails at: nothing is acknowledged that is not stored, and a sync that failed is the last call."""

import itertools
import random
from contextlib import suppress
from pathlib import Path

import apsw
import httpx2
import pytest

from service.errors import StoreFailed, StoreUnavailable
from service.store.sqlite import SqliteStore
from service.store.sqlite import file as sqlite_file
from tests.durability.nodes import Node
from tests.durability.sellers import issue_token
from tests.merchant import initiate_document, write_config
from tests.proof.disk import FAULTS, Disk, new_disk
from tests.proof.integrity import faults_of
from tests.proof.tracing import needs_strace, strace
from tests.proof.trading import Trade, applied_twice, lost, new_trades, trade
from tests.transports import OverHttp

LOG_PAGES = 10
"""After which the log is moved into the file: so often that these calls fail too."""


@pytest.fixture
def short_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "_CHECKPOINT_PAGES", LOG_PAGES)


async def trade_until_failure(disk: Disk, path: Path, trades: list[Trade]) -> list[str]:
    """Trade while a call fails, and return what the store did to the disk after a sync had failed."""
    try:
        store = SqliteStore(path)
    except StoreUnavailable:
        return []  # it has not even begun
    begun = disk.failed is None
    await trade(store, trades)
    if begun and disk.failed is not None and disk.failed.name == "sync":
        calls = len(disk.calls)
        with pytest.raises(StoreFailed):
            await store.ping()
        await trade(store, trades)
        await store.close()
        return [f"{call} came after {disk.failed}" for call in disk.calls[calls:]]
    await close(store)
    return []


async def close(store: SqliteStore) -> None:
    # Closing moves the log. What fails then SQLite passes over, but not what is raised by a disk in Python.
    with suppress(apsw.IOError, apsw.FullError):
        await store.close()


@pytest.mark.anyio
@pytest.mark.usefixtures("short_log")
@pytest.mark.parametrize(("call", "how"), FAULTS)
@pytest.mark.parametrize("every", [25, pytest.param(1, marks=pytest.mark.long)])
async def test_a_failed_call_is_never_acknowledged_and_a_failed_sync_is_the_last(
    tmp_path: Path, call: str, how: str, every: int
) -> None:
    failures = []
    for number in itertools.count(1, every if call == "write" else max(1, every // 12)):
        path = tmp_path / f"{number}.db"
        trades = new_trades()
        with new_disk() as disk:
            disk.fail(call, how, number)
            assert await trade_until_failure(disk, path, trades) == []
            store = SqliteStore(path)
            assert await lost(store, trades) == []
            assert await applied_twice(store, trades) == []
            await store.close()
            assert faults_of(path) == []
            if disk.failed is None:
                break
            failures.append(disk.failed)
    print(f"{how} at {len(failures)} {call}s: 0 acknowledged and lost, 0 applied twice")
    assert {Path(failure.file).suffix for failure in failures} >= {".db", ".db-wal"}


@pytest.mark.anyio
@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.long)])
async def test_what_is_acknowledged_by_a_store_opened_after_a_failed_sync_survives_a_power_cut(
    tmp_path: Path, every: int
) -> None:
    """What the failed sync was to write reads well until the power is cut; nothing may have been built upon it."""
    chance = random.Random(5)
    for number in itertools.count(2, every):
        before, after = tmp_path / f"before-{number}", tmp_path / f"after-{number}"
        before.mkdir()
        after.mkdir()
        trades, later = new_trades(), new_trades("later")
        with new_disk() as disk:
            disk.fail("sync", "EIO", number)
            await trade_until_failure(disk, before / "sale.db", trades)
            if disk.failed is None:
                break
            store = SqliteStore(before / "sale.db")
            await trade(store, later)
            disk.cut_power(1)
            await trade(store, new_trades("too late"))
            await close(store)
            disk.restart(after, chance)
            store = SqliteStore(after / "sale.db")
            assert [len(one.acknowledged) for one in later] == [6] * len(later)
            assert await lost(store, [*trades, *later]) == []
            await store.close()
            assert faults_of(after / "sale.db") == []
    assert number > 15


@needs_strace
def test_a_server_whose_disk_fails_a_sync_acknowledges_nothing_more_and_ends_to_be_started_anew(tmp_path: Path) -> None:
    path, trace = tmp_path / "sale.db", tmp_path / "trace"
    node = Node(write_config(tmp_path / "sale.toml"), f"sqlite:///{path}", tmp_path / "log")
    log = path.with_name("sale.db-wal")
    assert node.start(*strace("fdatasync", "error=EIO:when=5", log, output=trace))
    assert node.program is not None
    try:
        tokens = []
        with node.client() as client:
            while (answer := issue_token(OverHttp(client))).code == 0:
                tokens.append(answer.body["session"]["accessToken"])
            assert answer.code == 4000
            with suppress(httpx2.TransportError):  # it may have gone by then
                assert issue_token(OverHttp(client)).code == 4000
        assert node.program.wait(20)
        assert node.program.stop() == 1
        events = [event["event"] for event in node.program.events()]
        assert {"store not reachable", "store failed", "stopped"} <= set(events)
        calls = trace.read_text().splitlines()
        assert "EIO" in calls[-1]
        assert not any("EIO" in call for call in calls[:-1])

        assert node.start()
        with node.client() as client:
            http = OverHttp(client)
            assert [http.initiate(initiate_document(token)).code for token in tokens] == [0] * len(tokens)
    finally:
        node.kill()
    assert tokens
    assert faults_of(path) == []
