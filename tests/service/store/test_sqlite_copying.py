"""A file is read page by page for a copy, in the order of its keys, while a server may go on with it."""

from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from service.errors import StoreUnavailable
from service.store.migrations import SchemaMismatch
from service.store.sqlite import SqliteStore
from service.store.sqlite.copying import CopySource
from service.store.sqlite.file import open_writer, require_current
from tests.service.store.test_store import NOW, new_report, new_sale

SALES = sorted((new_sale(number) for number in range(5)), key=lambda sale: sale.invoice_id)


@pytest.fixture
async def source(tmp_path: Path, anyio_backend: str) -> AsyncIterator[CopySource]:
    store = SqliteStore(tmp_path / "sale.db")
    for sale in SALES:
        await store.open_session(sale, None)
    for status in ("approved", "processing", "made-up"):
        await store.report_status(new_report(SALES[1], status), must_move=False)
    await store.purge_changes(NOW, 1)
    await store.close()
    with closing(CopySource(tmp_path / "sale.db")) as source:
        yield source


@pytest.mark.anyio
async def test_pages_follow_each_other_and_the_last_one_says_so(source: CopySource) -> None:
    pages = list(source.pages("sales", 2))

    assert [[sale.invoice_id for sale in page.records] for page in pages] == [
        [sale.invoice_id for sale in SALES[:2]],
        [sale.invoice_id for sale in SALES[2:4]],
        [sale.invoice_id for sale in SALES[4:]],
    ]
    assert [page.after for page in pages] == [("",), (SALES[1].invoice_id,), (SALES[3].invoice_id,)]
    assert [page.until for page in pages] == [(SALES[1].invoice_id,), (SALES[3].invoice_id,), None]


@pytest.mark.anyio
async def test_a_page_that_is_full_is_followed_by_an_empty_one(source: CopySource) -> None:
    assert [len(page.records) for page in source.pages("sales", 5)] == [5, 0]


@pytest.mark.anyio
async def test_the_reports_of_a_sale_are_numbered_in_the_order_of_arrival_across_pages(source: CopySource) -> None:
    pages = list(source.pages("status_reports", 2))

    assert [report.status for page in pages for report in page.records] == ["approved", "processing", "made-up"]
    assert [page.until for page in pages] == [(SALES[1].invoice_id, 2), None]


@pytest.mark.anyio
async def test_rows_are_counted_and_the_ends_of_the_changes_told(source: CopySource) -> None:
    assert (source.count("sales"), source.count("status_reports"), source.count("cards")) == (5, 3, 0)
    assert source.ends() == (0, 6)


def test_a_file_that_cannot_be_read_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        CopySource(tmp_path / "nothing.db")
    (tmp_path / "text.db").write_text("no database" * 100)
    with closing(CopySource(tmp_path / "text.db")) as source:
        for read in (lambda: source.count("sales"), source.ends, lambda: list(source.pages("sales", 1))):
            with pytest.raises(StoreUnavailable):
                read()


def test_only_a_file_of_this_version_is_current(tmp_path: Path) -> None:
    path = tmp_path / "sale.db"
    with pytest.raises(StoreUnavailable):
        require_current(path)
    assert not path.exists()  # it was not made
    open_writer(path).close()
    current = require_current(path)
    assert current > 1
    for version, told in ((current - 1, f"this program needs {current}"), (current + 1, f"program knows {current}")):
        with closing(apsw.Connection(str(path))) as connection:
            connection.pragma("user_version", version)
        with pytest.raises(SchemaMismatch, match=told):
            require_current(path)
