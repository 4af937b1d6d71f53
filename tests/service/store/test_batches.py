"""Items that queue up go together, none is left behind, and none spoils the others."""

import asyncio
from collections.abc import Sequence

import pytest

from service.errors import StoreUnavailable
from service.store.postgresql import database
from service.store.postgresql.batches import Batches

pytestmark = pytest.mark.anyio


async def double(items: Sequence[int]) -> Sequence[int]:
    await asyncio.sleep(0)
    return [2 * item for item in items]


async def test_items_that_gather_while_others_run_go_together() -> None:
    sizes = []

    async def run(items: Sequence[int]) -> Sequence[int]:
        sizes.append(len(items))
        return await double(items)

    batches = Batches(run, max_running=1, max_batch=4)

    assert await asyncio.gather(*map(batches.submit, range(10))) == [2 * item for item in range(10)]
    assert sizes == [4, 4, 2]


@pytest.mark.parametrize("running", [1, 2])
async def test_who_asks_again_at_once_is_not_left_behind(running: int) -> None:
    batches = Batches(double, max_running=running)

    async def ask(count: int) -> list[int]:
        return [await batches.submit(number) for number in range(count)]

    async with asyncio.timeout(1):
        for askers in range(1, 5):
            assert await asyncio.gather(*(ask(5) for _ in range(askers))) == [[0, 2, 4, 6, 8]] * askers


async def test_a_fault_is_told_to_its_own_item_only() -> None:
    async def run(items: Sequence[int]) -> Sequence[int]:
        if 3 in items:
            raise ZeroDivisionError
        return await double(items)

    batches = Batches(run)
    results = await asyncio.gather(*map(batches.submit, range(6)), return_exceptions=True)

    assert isinstance(results.pop(3), ZeroDivisionError)
    assert results == [0, 2, 4, 8, 10]


async def test_an_item_whose_asker_is_gone_is_not_run() -> None:
    seen: list[int] = []

    async def run(items: Sequence[int]) -> Sequence[int]:
        seen.extend(items)
        return await double(items)

    batches = Batches(run, max_running=1)
    first, gone, last = (asyncio.create_task(batches.submit(number)) for number in range(3))
    await asyncio.sleep(0)
    gone.cancel()

    assert (await first, await last) == (0, 4)
    assert 1 not in seen


async def test_too_many_and_too_long_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 0.1)
    blocked = asyncio.Event()

    async def run(items: Sequence[int]) -> Sequence[int]:
        await blocked.wait()
        return items

    batches = Batches(run, max_running=1, max_batch=1, max_queued=2)
    results = await asyncio.gather(*map(batches.submit, range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailable] * 5

    blocked.set()
    await batches.close()
    assert await batches.submit(7) == 7
