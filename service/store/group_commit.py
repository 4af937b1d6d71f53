"""One commit for many writes: what has queued up while the disk was awaited is made durable together.

A commit waits for the disk, and costs the same for one write as for a hundred. The writes themselves are a few pages in
memory: they are made in the event loop's thread, and only the commit in a thread of its own. Two threads that both run
Python take turns at its lock, and each turn costs more than a write does.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from service.errors import StoreUnavailable
from service.store.usage import OnCommit

ConnectionT = TypeVar("ConnectionT")
ResultT = TypeVar("ResultT")

_COMMIT_SECONDS = 0.002
"""How long another process's transaction mostly lasts: so long each turn of the loop looks whether it has ended."""
_RETRY_SECONDS = 0.001
"""How often it is looked for afterwards."""

Write = Callable[[ConnectionT], ResultT]
"""Writes within a transaction that is open; may be called again after that one was rolled back."""


class Transactions(Protocol):
    """Transactions on one connection, of which one at most is open.

    Each method raises `StoreUnavailable` where the engine refuses, `StoreFailed` where it will for good.
    """

    def begin(self) -> bool:
        """Open a transaction that nobody else's write can come between; don't wait for another process's to end.

        Returns:
            Whether it is open.
        """

    def commit(self) -> None:
        """Make it durable. When this raises, whether it is durable is not known, and it is open no longer."""

    def rollback(self) -> None:
        """Undo it."""


@dataclass(slots=True)
class _Queued:
    write: Callable[[Any], Any]
    future: asyncio.Future[Any]
    result: Any = None


class GroupCommit(Generic[ConnectionT]):
    """Runs writes on a connection of its own.

    Args:
        connection: what the writes are given; used by one thread at a time.
        transactions: the transactions of that connection.
        max_batch: how many writes share a commit at most.
        max_queued: how many writes may wait; more are refused.
        patience_seconds: how long another process's transaction is waited for; then what has queued up is refused.
    """

    def __init__(
        self,
        connection: ConnectionT,
        transactions: Transactions,
        *,
        max_batch: int = 256,
        max_queued: int = 4096,
        patience_seconds: float = 2.0,
    ) -> None:
        self._connection = connection
        self._transactions = transactions
        self._max_batch = max_batch
        self._max_queued = max_queued
        self._patience_seconds = patience_seconds
        self._waiting_since: float | None = None
        """For another process's transaction, by the loop's clock."""
        self._queue: deque[_Queued] = deque()
        self._to_run_alone = 0
        """How many at the front of the queue were in a batch that failed."""
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._committer = ThreadPoolExecutor(1, "commit")
        self.retries = 0
        """How often it was looked again whether another process's transaction has ended."""
        self.on_commit: OnCommit | None = None
        """What is told of each commit, if anybody is."""

    async def write(self, write: Write[ConnectionT, ResultT]) -> ResultT:
        """Make a write durable.

        Args:
            write: the write; skipped if the caller is gone before its turn comes.

        Returns:
            What it returned.

        Raises:
            StoreUnavailable: it can't be made durable, or too many wait already.
            StoreFailed: nothing can be made durable any more.
            Exception: whatever the write raised (RuntimeError for StopIteration); then it changed nothing.
        """
        if self._closed or len(self._queue) >= self._max_queued:
            raise StoreUnavailable
        future: asyncio.Future[ResultT] = self._loop.create_future()
        self._queue.append(_Queued(write, future))
        if self._idle.is_set():
            self._idle.clear()
            self._loop.call_soon(self._run_batch)  # with what others ask for by then
        return await future

    async def close(self) -> None:
        """Make durable what has queued up and end the thread."""
        self._closed = True
        await self._idle.wait()
        self._committer.shutdown()

    def _run_batch(self) -> None:
        if not self._queue:
            self._idle.set()
            return
        try:
            if not self._begin():
                return
        except Exception as error:
            self._go_on(self._next_batch(), error)
            return
        batch = self._next_batch()
        try:
            self._apply(batch)
        except Exception as error:
            self._go_on(batch, error)
        else:
            self._committer.submit(self._commit, batch)

    def _begin(self) -> bool:
        """Open a transaction, or come back when another process's may have ended."""
        now = self._loop.time()
        if self._transactions.begin():
            self._waiting_since = None
            return True
        self.retries += 1
        if self._waiting_since is None:
            self._waiting_since = now
        waited = now - self._waiting_since
        if waited > self._patience_seconds:
            self._waiting_since = None
            raise StoreUnavailable
        if waited < _COMMIT_SECONDS:
            self._loop.call_soon(self._run_batch)
        else:
            self._loop.call_later(_RETRY_SECONDS, self._run_batch)
        return False

    def _next_batch(self) -> list[_Queued]:
        batch: list[_Queued] = []
        while self._queue and not batch:
            count = min(1 if self._to_run_alone else self._max_batch, len(self._queue))
            self._to_run_alone = max(0, self._to_run_alone - count)
            taken = [self._queue.popleft() for _ in range(count)]
            batch = [queued for queued in taken if not queued.future.cancelled()]
        return batch

    def _apply(self, batch: list[_Queued]) -> None:
        try:
            for queued in batch:
                queued.result = queued.write(self._connection)
        except BaseException:
            with suppress(StoreUnavailable):  # the engine may have rolled back by itself; the first error tells more
                self._transactions.rollback()
            raise

    def _commit(self, batch: list[_Queued]) -> None:
        """In the other thread: wait for the disk."""
        failure: StoreUnavailable | None = None
        began = time.perf_counter()
        try:
            self._transactions.commit()
        except Exception as error:  # it may be durable all the same: nothing of it may be tried again
            failure = StoreUnavailable(str(error))
        self._loop.call_soon_threadsafe(self._end, batch, failure, time.perf_counter() - began)

    def _end(self, batch: list[_Queued], failure: Exception | None, seconds: float) -> None:
        if self.on_commit is not None:
            self.on_commit(len(batch), seconds)
        self._go_on(batch, failure)

    def _go_on(self, batch: list[_Queued], failure: Exception | None) -> None:
        self._deliver(batch, failure)
        self._loop.call_soon(self._run_batch)  # the requests that are at hand may have more to write

    def _deliver(self, batch: list[_Queued], failure: Exception | None) -> None:
        if failure is not None and len(batch) > 1 and not isinstance(failure, StoreUnavailable):
            # One write's fault is not its neighbours': each gets a transaction to itself.
            self._queue.extendleft(reversed(batch))
            self._to_run_alone += len(batch)
            return
        for queued in batch:
            if queued.future.done():
                continue
            if failure is None:
                queued.future.set_result(queued.result)
            else:
                queued.future.set_exception(type(failure)(str(failure)) if len(batch) > 1 else _deliverable(failure))


def _deliverable(failure: Exception) -> Exception:
    if not isinstance(failure, StopIteration):
        return failure
    error = RuntimeError("a write raised StopIteration")  # which no future takes: it would end a generator in silence
    error.__cause__ = failure
    return error
