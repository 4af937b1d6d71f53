"""One commit for many writes: a thread takes the writes that have queued up and makes them durable together.

A commit waits for the disk, and costs the same for one write as for a hundred.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

from service.errors import StoreUnavailable

ConnectionT = TypeVar("ConnectionT")
ResultT = TypeVar("ResultT")

Write = Callable[[ConnectionT], ResultT]
"""Writes within a transaction that is open; may be called again after that one was rolled back."""


class Transactions(Protocol):
    """Transactions on one connection, of which one at most is open.

    Each method raises `StoreUnavailable` where the engine refuses.
    """

    def begin(self) -> None:
        """Open a transaction that nobody else's write can come between."""

    def commit(self) -> None:
        """Make it durable. When this raises, whether it is durable is not known, and it is open no longer."""

    def rollback(self) -> None:
        """Undo it."""


@dataclass(slots=True)
class _Queued:
    write: Callable[[Any], Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


class GroupCommit(Generic[ConnectionT]):
    """A writer thread with a connection of its own.

    Args:
        connection: what the writes are given; used in the writer thread only.
        transactions: the transactions of that connection.
        max_batch: how many writes share a commit at most.
        max_queued: how many writes may wait; more are refused.
    """

    def __init__(
        self,
        connection: ConnectionT,
        transactions: Transactions,
        *,
        max_batch: int = 256,
        max_queued: int = 4096,
    ) -> None:
        self._connection = connection
        self._transactions = transactions
        self._max_batch = max_batch
        self._max_queued = max_queued
        self._queue: SimpleQueue[_Queued | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)
        self._thread.start()

    async def write(self, write: Write[ConnectionT, ResultT]) -> ResultT:
        """Make a write durable.

        Args:
            write: the write; skipped if the caller is gone before its turn comes.

        Returns:
            What it returned.

        Raises:
            StoreUnavailable: it can't be made durable, or too many wait already.
            Exception: whatever the write raised; then it changed nothing.
        """
        if self._closed or self._queue.qsize() >= self._max_queued:
            raise StoreUnavailable
        future: asyncio.Future[ResultT] = self._loop.create_future()
        self._queue.put(_Queued(write, future))
        return await future

    async def close(self) -> None:
        """Make durable what has queued up and end the thread."""
        self._closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            self._apply(batch)
            self._loop.call_soon_threadsafe(_deliver, batch)

    def _next_batch(self) -> list[_Queued] | None:
        first = self._queue.get()
        if first is None:
            return None
        batch = [first]
        while len(batch) < self._max_batch and not self._queue.empty():
            queued = self._queue.get()
            if queued is None:
                self._queue.put(None)
                break
            batch.append(queued)
        return [queued for queued in batch if not queued.future.cancelled()]

    def _apply(self, batch: list[_Queued]) -> None:
        try:
            self._commit_together(batch)
        except StoreUnavailable as error:
            for queued in batch:
                queued.error = StoreUnavailable(str(error))
        except Exception as error:
            if len(batch) == 1:
                batch[0].error = error
            else:
                # One write's fault is not its neighbours': each gets a transaction to itself.
                for queued in batch:
                    self._apply([queued])

    def _commit_together(self, batch: list[_Queued]) -> None:
        if not batch:
            return
        self._transactions.begin()
        try:
            for queued in batch:
                queued.result = queued.write(self._connection)
        except BaseException:
            with suppress(StoreUnavailable):  # the engine may have rolled back by itself; the first error tells more
                self._transactions.rollback()
            raise
        self._transactions.commit()


def _deliver(batch: list[_Queued]) -> None:
    for queued in batch:
        if queued.future.done():
            continue
        if queued.error is None:
            queued.future.set_result(queued.result)
        else:
            queued.future.set_exception(queued.error)
