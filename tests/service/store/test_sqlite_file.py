"""An SQLite file is opened soundly, or not at all."""

import asyncio
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import pytest

from service.errors import StoreFailed, StoreUnavailable
from service.identifiers import from_microseconds
from service.sale_states import SaleState
from service.store import PositionUnknown, SaleFilter
from service.store.migrations import numbered_steps
from service.store.sqlite import (
    SqliteStore,
    access_tokens,
    audit_log,
    cards,
    changes,
    idempotency_records,
    reports,
    sales,
)
from service.store.sqlite import file as sqlite_file
from service.store.sqlite.file import SqliteTransactions, open_connection, open_writer, require_sound_version
from tests.proof.disk import Call, new_disk
from tests.proof.trading import lost, new_trades, trade
from tests.service.store.test_store import new_entry

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 21, tzinfo=UTC)


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
        assert connection.pragma("user_version") == len(numbered_steps("service.store.sqlite.migrations"))
        connection.close()


def test_a_file_of_the_first_version_keeps_all_that_was_in_it(tmp_path: Path) -> None:
    steps = sorted((Path(sqlite_file.__file__).parent / "migrations").glob("*.sql"))
    first = apsw.Connection(str(tmp_path / "sale.db"))
    first.execute(steps[0].read_text())
    first.pragma("user_version", 1)
    for number, token in enumerate((None, "session-token-01")):
        first.execute(
            "INSERT INTO sales VALUES (?, '11110', ?, 'R58M', NULL, '[\"192.0.2.17\"]', 0.5, NULL, 1042, 'EUR', ?, 'S',"
            " ?, ?, ?, ?)",
            (f"id-{number}", b"h" * 32, f"n-{number}", 1_000_000, 9_000_000, token, token and 2_000_000),
        )
    first.execute("INSERT INTO access_tokens VALUES (?, '11110', 1000000, 9000000, NULL)", (b"t" * 32,))
    first.execute("INSERT INTO idempotency_records VALUES (?, 'order-1', ?, 'id-0', 9000000)", (b"h" * 32, b"r" * 32))
    first.close()

    connection = open_writer(tmp_path / "sale.db")

    opened, checked = (sales.require_sale(connection, f"id-{number}") for number in range(2))
    assert (opened.state, opened.session_token, opened.check_time) == (SaleState.SALE_STATE_INITIATED, None, None)
    assert (checked.state, checked.session_token) == (SaleState.SALE_STATE_CHECKED, "session-token-01")
    assert (checked.check_time, checked.update_time) == (from_microseconds(2_000_000),) * 2
    assert (opened.consumer_id, opened.ip_addresses, opened.lat) == ("device:R58M", ("192.0.2.17",), 0.5)
    assert [change.sale for change in changes.list_changes(connection, 0, 10, skip_purged=False)] == [opened, checked]
    kept = access_tokens.find_access_token(connection, b"t" * 32)
    assert kept is not None
    assert (kept.endpoint_id, kept.consumer_id, kept.expire_time) == ("11110", None, from_microseconds(9_000_000))
    record = idempotency_records.find_record(connection, b"h" * 32, "order-1", from_microseconds(1))
    assert record is not None
    assert record.invoice_id == "id-0"
    assert connection.pragma("integrity_check") == "ok"
    connection.close()


QUERIES: list[Callable[[apsw.Connection], object]] = [
    lambda connection: sales.find_sale(connection, "1"),
    lambda connection: sales.find_sale_by_session(connection, "1", b"1", "1"),
    lambda connection: sales.find_invoices_of_session(connection, "1", 2),
    lambda connection: changes.list_changes(connection, 5, 10, skip_purged=False),
    lambda connection: reports.find_sale_and_reports(connection, "1"),
    lambda connection: cards.find_card(connection, "1", "1"),
    lambda connection: cards.list_cards(connection, "1", "2", 10),
    lambda connection: cards.list_cards_sealed_otherwise(connection, "1", "2", 10),
    lambda connection: access_tokens.find_access_token(connection, b"1"),
    lambda connection: idempotency_records.find_record(connection, b"1", "1", NOW),
    lambda connection: sales.expire_sessions(connection, NOW, 100),
    lambda connection: sales.purge_sales(connection, NOW, "1", 100),
    lambda connection: changes.purge_changes(connection, NOW, 100),
    lambda connection: access_tokens.purge_access_tokens(connection, NOW, 100),
    lambda connection: idempotency_records.purge_records(connection, NOW, 100),
    lambda connection: access_tokens.revoke_consumer_tokens(connection, "1", NOW, new_entry()),
    lambda connection: audit_log.append_audit_entry(connection, new_entry()),
    lambda connection: audit_log.list_audit_entries(connection, 5, 10),
    *(
        partial(sales.list_sales, filter=listed, beyond="x", limit=10, oldest_first=False)
        for listed in (
            SaleFilter(),
            SaleFilter(endpoint_id="1"),
            SaleFilter(consumer_id="1"),
            SaleFilter(client_card_id="1"),
            SaleFilter(state=SaleState.SALE_STATE_INITIATED),
            SaleFilter(state=SaleState.SALE_STATE_APPROVED, start_time=NOW),
            SaleFilter(SaleState.SALE_STATE_APPROVED, "1", "1", "1", NOW, NOW),
        )
    ),
]


@pytest.mark.parametrize("query", QUERIES)
def test_no_statement_reads_or_sorts_a_whole_table(tmp_path: Path, query: Callable[[apsw.Connection], object]) -> None:
    connection = open_writer(tmp_path / "sale.db")
    statements: list[tuple[str, Any]] = []

    def trace(cursor: apsw.Cursor, sql: str, bindings: Any) -> bool:
        statements.append((sql, bindings))
        return True

    connection.exec_trace = trace
    with suppress(PositionUnknown):
        query(connection)
    connection.exec_trace = None

    for sql, bindings in statements:
        if sql.split()[0] in {"SAVEPOINT", "RELEASE", "ROLLBACK"}:
            continue
        plan = [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", bindings)]
        # Of one sale there are some dozens of reports at most.
        assert not any("TEMP B-TREE" in step for step in plan) or "FROM status_reports" in sql, (sql, plan)
        one_row = ("CONSTANT ROW", "purged_changes")
        scans = [step for step in plan if step.startswith("SCAN") and not step.endswith(one_row)]
        # Along an index, or the primary key, up to a limit.
        assert not scans or "LIMIT" in sql, (sql, plan)
    assert statements
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


def test_a_lock_is_taken_or_not_and_never_waited_for(tmp_path: Path) -> None:
    first, second = (SqliteTransactions(open_writer(tmp_path / "sale.db")) for _ in range(2))

    assert first.begin()
    assert not second.begin()
    first.commit()
    assert second.begin()
    second.rollback()


async def test_two_processes_share_a_file(tmp_path: Path) -> None:
    stores = [SqliteStore(tmp_path / "sale.db") for _ in range(2)]
    await stores[0].ping()
    await stores[1].ping()
    for store in stores:
        await store.close()


async def test_a_lock_that_is_held_too_long_makes_the_store_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT_MS", 20)
    store = SqliteStore(tmp_path / "sale.db")
    with closing(open_connection(tmp_path / "sale.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(store.ping(), 1)
        other.execute("COMMIT")
    await store.ping()
    await store.close()


async def test_a_write_waits_for_another_process_and_the_event_loop_does_not(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "sale.db")
    with closing(open_connection(tmp_path / "sale.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.create_task(store.ping())
        for _ in range(5):
            await asyncio.sleep(0.01)
        assert not writing.done()
        other.execute("COMMIT")
    await asyncio.wait_for(writing, 1)
    await store.close()


async def test_the_log_is_moved_into_the_file_when_it_has_got_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "_CHECKPOINT_PAGES", 20)
    with new_disk() as disk:
        store = SqliteStore(tmp_path / "sale.db")
        syncs = disk.syncs("sale.db")
        for number in range(5):
            await trade(store, new_trades(f"{number}"))
        assert disk.syncs("sale.db") > syncs
        assert (tmp_path / "sale.db-wal").stat().st_size < 2 * 20 * 4096
        await store.close()


async def test_a_disk_that_fails_to_take_the_moved_log_stops_the_store_and_takes_nothing_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "_CHECKPOINT_PAGES", 1)
    with new_disk() as disk:
        store = SqliteStore(tmp_path / "sale.db")
        disk.fail("sync", "EIO", 4)  # a commit that begins a log syncs it twice, and what moves it once more
        trades = new_trades(count=1)
        await trade(store, trades)
        assert disk.failed == Call("sync", "sale.db")
        assert trades[0].acknowledged == ["issue"]
        with pytest.raises(StoreFailed):
            await store.ping()
        assert await lost(store, trades) == []
        await store.close()
