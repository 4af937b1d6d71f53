"""One round trip and one commit for what has queued up.

The first item is not kept waiting; while it is on its way, others gather and go together.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from service.errors import StoreUnavailable
from service.store.postgresql.database import within_patience
from service.store.usage import OnCommit

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


@dataclass(slots=True)
class _Queued(Generic[ItemT, ResultT]):
    item: ItemT
    future: asyncio.Future[ResultT]


class Batches(Generic[ItemT, ResultT]):
    """Gathers items and runs them together.

    Args:
        run: runs items, and returns the result of each; all of them fail when it raises. It goes on when those who
            asked are gone.
        max_batch: how many items go together at most.
        max_running: how many batches run at once.
        max_queued: how many items may wait; more are refused.
    """

    def __init__(
        self,
        run: Callable[[Sequence[ItemT]], Awaitable[Sequence[ResultT]]],
        *,
        max_batch: int = 256,
        max_running: int = 2,
        max_queued: int = 4096,
    ) -> None:
        self._run = run
        self._max_batch = max_batch
        self._max_running = max_running
        self._max_queued = max_queued
        self._queue: deque[_Queued[ItemT, ResultT]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._taking = 0
        """How many tasks take from the queue; one that has found it empty does not any more."""
        self.on_commit: OnCommit | None = None
        """What is told of each batch, if anybody is."""

    async def submit(self, item: ItemT) -> ResultT:
        """Return the result of an item.

        Raises:
            StoreUnavailable: too many wait already, or it took too long.
            Exception: whatever `run` raised.
        """
        if len(self._queue) >= self._max_queued:
            raise StoreUnavailable
        queued = _Queued[ItemT, ResultT](item, asyncio.get_running_loop().create_future())
        self._queue.append(queued)
        if self._taking < self._max_running:
            self._taking += 1
            task = asyncio.create_task(self._run_queued())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        async with within_patience():
            return await queued.future

    async def close(self) -> None:
        """Return once everything that was submitted has run."""
        while self._running:
            await asyncio.wait(self._running)

    async def _run_queued(self) -> None:
        try:
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(self._max_batch, len(self._queue)))]
                batch = [queued for queued in batch if not queued.future.done()]  # nobody waits for the others
                if batch:
                    await self._run_batch(batch)
        finally:
            self._taking -= 1

    async def _run_batch(self, batch: Sequence[_Queued[ItemT, ResultT]]) -> None:
        began = time.perf_counter()
        try:
            results = await self._run([queued.item for queued in batch])
        except StoreUnavailable as error:
            for queued in batch:
                _fail(queued.future, StoreUnavailable(str(error)))
        except Exception as error:
            if len(batch) == 1:
                _fail(batch[0].future, error)
            else:
                # One item's fault is not its neighbours': each runs alone.
                for queued in batch:
                    await self._run_batch([queued])
        else:
            if self.on_commit is not None:
                self.on_commit(len(batch), time.perf_counter() - began)
            for queued, result in zip(batch, results, strict=True):
                if not queued.future.done():
                    queued.future.set_result(result)


def _fail(future: asyncio.Future[ResultT], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
