"""Requests are kept for the timelines of their sales, and whoever sends them waits for nothing."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from structlog.testing import capture_logs

from service.call_log import begin_call, known_of_call
from service.origin import Origin
from service.sale_events import FLUSH_SECONDS, SaleEvents
from service.store import Sale, SaleEvent, Store
from service.store.sqlite import SqliteStore
from tests.service.store.test_store import new_sale

pytestmark = pytest.mark.anyio
SALES = [new_sale(number) for number in range(100)]
ORIGIN = Origin("gateway", "192.0.2.7")


@pytest.fixture
async def store(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Store]:
    store = SqliteStore(tmp_path / "sale.db")
    for sale in SALES:
        await store.open_session(sale, None)
    yield store
    await store.close()


def note(events: SaleEvents, sale: Sale, count: int = 1) -> None:
    for _ in range(count):
        events.note(sale.invoice_id, "SaleService.CheckSale", time.time_ns(), ORIGIN, "id", 1102, "m" * 1000)


async def kept(store: Store, sales: Sequence[Sale] = SALES) -> int:
    return sum([len(await store.list_sale_events(sale.invoice_id)) for sale in sales])


async def test_a_request_is_kept_a_moment_later_and_its_message_in_part(store: Store) -> None:
    events = SaleEvents(store)
    note(events, SALES[0])
    assert await kept(store) == 0

    await asyncio.sleep(5 * FLUSH_SECONDS)

    (event,) = await store.list_sale_events(SALES[0].invoice_id)
    assert (event.caller, event.address, event.error_reason, event.error_message) == (
        "gateway",
        "192.0.2.7",
        1102,
        "m" * 256,
    )
    note(events, SALES[0])
    await events.close()
    assert await kept(store) == 2


async def test_many_requests_at_once_are_all_kept(store: Store) -> None:
    events = SaleEvents(store)

    for sale in SALES:
        note(events, sale, 20)
        await asyncio.sleep(0)
    await events.close()

    assert await kept(store) == 2000


async def test_what_goes_wrong_then_is_told_of_no_request(tmp_path: Path) -> None:
    known = []

    class Told(SqliteStore):
        async def append_sale_events(self, events: Sequence[SaleEvent]) -> None:
            known.append(known_of_call())
            await super().append_sale_events(events)

    store = Told(tmp_path / "told.db")
    events = SaleEvents(store)
    begin_call("request-1")
    note(events, SALES[0], 1024)
    await events.close()
    await store.close()

    assert known == [{}]


async def test_while_the_store_cannot_be_written_only_so_many_wait_and_the_rest_is_counted(
    store: Store, tmp_path: Path
) -> None:
    events = SaleEvents(store)
    with capture_logs() as logs, closing(apsw.Connection(str(tmp_path / "sale.db"))) as other:
        other.execute("BEGIN IMMEDIATE")
        for sale in SALES:
            note(events, sale, 90)
        await asyncio.sleep(0.2)
        other.execute("ROLLBACK")
        await events.close()

    assert await kept(store) == 8192
    assert [(log["event"], log["count"]) for log in logs] == [("sale events lost", 9000 - 8192)]


async def test_what_the_store_refuses_is_lost_and_told_and_what_comes_next_is_kept(
    store: Store, tmp_path: Path
) -> None:
    events = SaleEvents(store)
    with capture_logs() as logs, closing(apsw.Connection(str(tmp_path / "sale.db"))) as other:
        other.execute("ALTER TABLE sale_events RENAME TO elsewhere")
        note(events, SALES[0], 3)
        await events.close()
        other.execute("ALTER TABLE elsewhere RENAME TO sale_events")
        note(events, SALES[0])
        await events.close()

    assert await kept(store) == 1
    assert [(log["event"], log["count"]) for log in logs] == [("sale events not kept", 3)]
