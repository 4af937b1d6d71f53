"""Lists that leave nothing out however little is looked at, and streams that begin where they should."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from itertools import pairwise

import pytest

from service import sale_reader
from service.errors import ErrorReason, SaleError
from service.sale_reader import SaleReader
from service.sale_states import SaleState
from service.store import Sale, SaleChange, SaleFilter, sale_lists
from service.store.sqlite import SqliteStore
from tests.service.store.test_store import NOW, new_report, new_sale

pytestmark = pytest.mark.anyio


@pytest.fixture
def reader(store: SqliteStore) -> SaleReader:
    return SaleReader(store)


async def taken(reader: SaleReader, count: int, after: int | None = None) -> list[SaleChange]:
    changes = []
    async for change in reader.watch(after):
        changes.append(change)
        if len(changes) == count:
            break
    return changes


@pytest.mark.parametrize("size", [1, 3, 50])
@pytest.mark.parametrize(
    "filter",
    [
        SaleFilter(),
        SaleFilter(endpoint_id="rare"),
        SaleFilter(state=SaleState.SALE_STATE_INITIATED, endpoint_id="rare"),
        SaleFilter(consumer_id="anna", endpoint_id="rare"),
        SaleFilter(endpoint_id="none"),
    ],
)
async def test_pages_hold_every_sale_once_however_little_is_looked_at(
    store: SqliteStore, reader: SaleReader, monkeypatch: pytest.MonkeyPatch, filter: SaleFilter, size: int
) -> None:
    monkeypatch.setattr(sale_lists, "_LOOK", 7)
    monkeypatch.setattr(sale_reader, "_MAX_LOOKS", 2)
    for number in range(90):
        endpoint_id = "rare" if number % 31 == 0 else "11110"
        await store.open_session(new_sale(number, NOW + timedelta(seconds=number), endpoint_id=endpoint_id), None)
    expected = [sale.invoice_id for sale in await everything(store) if filter.endpoint_id in {None, sale.endpoint_id}]

    listed, token = [], ""
    for _ in range(200):
        sales, token = await reader.list(filter, token, size)
        assert len(sales) <= size
        listed += [sale.invoice_id for sale in sales]
        if not token:
            break

    assert listed == expected
    assert all(one > other for one, other in pairwise(listed))


async def everything(store: SqliteStore) -> list[Sale]:
    changes = await store.list_changes(0, 1000)
    return sorted((change.sale for change in changes), key=lambda sale: sale.invoice_id, reverse=True)


async def test_a_page_that_is_full_and_the_last_one_has_no_token(store: SqliteStore, reader: SaleReader) -> None:
    for number in range(4):
        await store.open_session(new_sale(number, NOW + timedelta(seconds=number)), None)

    first, token = await reader.list(SaleFilter(), page_size=2)
    second, end = await reader.list(SaleFilter(), token, 2)

    assert (len(first), len(second), end) == (2, 2, "")


async def test_a_stream_since_a_moment_leaves_nothing_out_that_was_committed_in_another_order(
    store: SqliteStore, reader: SaleReader
) -> None:
    # Requests that run at once are committed in another order than they have begun, and clocks disagree.
    seconds = (0, 10, 12, 11, 9, 13, 20)
    for number, second in enumerate(seconds):
        await store.open_session(new_sale(number, NOW + timedelta(seconds=second)), None)

    seen = []
    async for change in reader.watch_since(NOW + timedelta(seconds=11)):
        seen.append((change.sale.update_time - NOW).seconds)
        if len(seen) == 4:
            break

    assert seen == [12, 11, 13, 20]


async def test_a_stream_since_now_shows_what_is_new(store: SqliteStore, reader: SaleReader) -> None:
    await store.open_session(new_sale(1), None)
    new = new_sale(2, NOW + timedelta(hours=1))

    async def first() -> SaleChange:
        return await anext(reader.watch_since(NOW + timedelta(minutes=1)))

    waiting = asyncio.create_task(first())
    await asyncio.sleep(0.05)
    await store.open_session(new, None)

    assert (await asyncio.wait_for(waiting, 5)).sale == new


async def test_readers_at_the_same_place_see_the_same_and_each_goes_on_by_itself(
    store: SqliteStore, reader: SaleReader
) -> None:
    for number in range(250):
        await store.open_session(new_sale(number), None)

    seen = await asyncio.gather(*(taken(reader, 250) for _ in range(20)), taken(reader, 120, after=130))

    positions = [change.position for change in seen[0]]
    assert positions == sorted(set(positions))
    assert all(each == seen[0] for each in seen[:20])
    assert seen[20] == seen[0][130:]


async def test_a_reader_of_what_was_purged_is_refused(store: SqliteStore, reader: SaleReader) -> None:
    for number in range(3):
        await store.open_session(new_sale(number), None)
    first, *_ = await taken(reader, 3)
    await store.purge_changes(NOW + timedelta(days=1), 10)

    with pytest.raises(SaleError) as refusal:
        await taken(reader, 1, after=first.position)

    assert [violation.field for violation in refusal.value.violations] == ["cursor"]


async def test_a_reader_without_a_cursor_takes_what_is_kept_while_the_rest_is_purged(
    store: SqliteStore, reader: SaleReader
) -> None:
    for number in range(350):
        await store.open_session(new_sale(number, NOW + timedelta(seconds=number)), None)
    seen = []
    async for change in reader.watch():
        seen.append(change.position)
        if len(seen) == 50:
            while await store.purge_changes(NOW + timedelta(seconds=299), 100):
                pass
        if change.position == 350:
            break

    # What it had read, then what is left; from then on it is as good as one with a cursor.
    assert seen == [*range(1, 101), *range(300, 351)]
    since = [change async for change in first(reader.watch_since(NOW), 51)]
    assert [change.position for change in since] == list(range(300, 351))


async def first(changes: AsyncGenerator[SaleChange, None], count: int) -> AsyncGenerator[SaleChange, None]:
    async with aclosing(changes):
        for _ in range(count):
            yield await anext(changes)


async def test_a_sale_that_was_purged_before_its_changes_is_passed_over(store: SqliteStore, reader: SaleReader) -> None:
    gone, kept = new_sale(1), new_sale(2)
    await store.open_session(gone, None)
    await store.report_status(new_report(gone), must_move=False)
    await store.open_session(kept, None)
    await store.purge_sales(NOW + timedelta(days=1), "", 10)

    assert [change.sale for change in await taken(reader, 1)] == [kept]


async def test_a_stopped_reader_ends_its_streams(reader: SaleReader) -> None:
    waiting = asyncio.create_task(taken(reader, 1))
    await asyncio.sleep(0.05)
    reader.stop()

    with pytest.raises(SaleError) as refusal:
        await asyncio.wait_for(waiting, 5)
    assert refusal.value.reason == ErrorReason.ERROR_REASON_SERVER_UNAVAILABLE
