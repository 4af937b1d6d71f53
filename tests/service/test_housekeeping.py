"""What time does, done in steps; and what it leaves alone."""

from datetime import timedelta

import pytest

from service import housekeeping
from service.housekeeping import Housekeeping
from service.store import SaleFilter
from service.store.sqlite import SqliteStore
from tests.service.conftest import Clock
from tests.service.store.test_store import NOW, new_report, new_sale

pytestmark = pytest.mark.anyio
DAY = timedelta(days=1)


async def count(store: SqliteStore) -> int:
    return await store.count_sales(SaleFilter())


async def test_all_that_is_due_is_done_however_much_it_is(
    store: SqliteStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "BATCH", 7)
    for number in range(40):
        await store.open_session(new_sale(number, NOW), None)
    keeping = Housekeeping(store, clock=clock, retention=DAY)
    clock.now = NOW + timedelta(minutes=30)

    assert (await keeping.run())["expired_sessions"] == 40
    clock.now += DAY + timedelta(seconds=1)
    counts = await keeping.run()
    assert (counts["purged_changes"], counts["purged_sales"]) == (80, 40)
    assert await count(store) == 0
    assert set((await keeping.run()).values()) == {0}


async def test_without_a_retention_sales_are_kept_for_ever(store: SqliteStore, clock: Clock) -> None:
    await store.open_session(new_sale(1), None)
    clock.now = NOW + 10_000 * DAY

    counts = await Housekeeping(store, clock=clock, retention=None).run()

    assert (counts["expired_sessions"], "purged_sales" in counts, await count(store)) == (1, False, 1)


async def test_a_sale_that_ends_late_is_purged_once_its_own_time_is_over(
    store: SqliteStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "BATCH", 2)
    late = new_sale(0)
    sales = [late, *(new_sale(number, NOW + timedelta(seconds=number)) for number in range(1, 6))]
    for sale in sales:
        await store.open_session(sale, None)
        await store.bind_check(sale.invoice_id, "a" * 16, None, NOW)
    keeping = Housekeeping(store, clock=clock, retention=DAY)
    for sale in sales[1:]:
        await store.report_status(new_report(sale), must_move=False)
    clock.now = NOW + 2 * DAY
    assert (await keeping.run())["purged_sales"] == 5

    await store.report_status(new_report(late, receive_time=clock.now), must_move=False)
    clock.now += DAY - timedelta(minutes=1)
    assert (await keeping.run())["purged_sales"] == 0
    clock.now += timedelta(hours=1)
    assert (await keeping.run())["purged_sales"] == 1


async def test_sales_that_end_a_while_after_they_began_are_purged_when_their_time_has_come(
    store: SqliteStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "BATCH", 2)
    ends = timedelta(minutes=5)
    for number in range(9):
        sale = new_sale(number, NOW + timedelta(seconds=number))
        await store.open_session(sale, None)
        await store.report_status(new_report(sale, receive_time=NOW + ends), must_move=False)
    keeping = Housekeeping(store, clock=clock, retention=DAY)
    clock.now = NOW + DAY + timedelta(minutes=1)
    assert (await keeping.run())["purged_sales"] == 0

    clock.now = NOW + DAY + ends + timedelta(seconds=1)
    assert (await keeping.run())["purged_sales"] == 9


async def test_a_retention_that_reaches_before_1970_keeps_everything(store: SqliteStore, clock: Clock) -> None:
    await store.open_session(new_sale(1), None)

    counts = await Housekeeping(store, clock=clock, retention=36500 * DAY).run()

    assert (counts["purged_changes"], counts["purged_sales"]) == (0, 0)


async def test_changes_of_a_clock_that_was_ahead_hold_up_the_purge_of_changes_and_are_not_lost(
    store: SqliteStore, clock: Clock
) -> None:
    keeping = Housekeeping(store, clock=clock, retention=DAY)
    ahead, final, fresh = new_sale(0, NOW + 400 * DAY), new_sale(1, NOW), new_sale(2, NOW + 2 * DAY)
    await store.open_session(ahead, None)
    await store.open_session(final, None)  # the clock was put right
    await store.report_status(new_report(final), must_move=False)
    clock.now = NOW + 2 * DAY
    await store.open_session(fresh, None)

    counts = await keeping.run()
    assert (counts["purged_changes"], counts["purged_sales"], counts["expired_sessions"]) == (0, 1, 0)
    told = await store.list_changes(0, 10, skip_purged=True)
    assert [change.sale.invoice_id for change in told] == [ahead.invoice_id, fresh.invoice_id]
    assert await store.list_changes(told[0].position + 2, 10) == told[1:]  # who has come to the sale that is purged
    clock.now = NOW + 401 * DAY + timedelta(hours=1)
    assert (await keeping.run())["purged_changes"] == 4
