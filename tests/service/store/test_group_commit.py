"""One commit serves many writes, and none of them harms another."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from service.errors import StoreUnavailable
from service.store.group_commit import GroupCommit

pytestmark = pytest.mark.anyio
Log = list[str]


class Engine:
    """Transactions over a list; what is not committed is not in `durable`."""

    def __init__(self) -> None:
        self.durable: Log = []
        self.pending: Log = []
        self.commits = 0
        self.fails_to_commit = False
        self.refusals = 0
        """How often another process is still writing when it is asked for the lock."""
        self.gate = threading.Event()
        """Open where the disk is quick."""
        self.gate.set()
        self.waiting_for_disk = threading.Semaphore(0)
        self.threads: list[threading.Thread] = []
        """That made a write."""

    def begin(self) -> bool:
        self.pending = []
        self.refusals = max(0, self.refusals - 1)
        return not self.refusals

    def commit(self) -> None:
        self.waiting_for_disk.release()
        self.gate.wait(10)
        if self.fails_to_commit:
            raise StoreUnavailable
        self.durable += self.pending
        self.commits += 1

    def rollback(self) -> None:
        self.pending = []


def adding(engine: Engine, text: str) -> Callable[[Engine], str]:
    def write(connection: Engine) -> str:
        connection.threads.append(threading.current_thread())
        connection.pending.append(text)
        if text == "faulty":
            raise ValueError(text)
        return text.upper()

    return write


async def queue_up(engine: Engine, group: GroupCommit[Engine], *texts: str) -> list["asyncio.Task[str]"]:
    """Begin writes that all wait for the one in front of them."""
    engine.gate.clear()
    tasks = [asyncio.create_task(group.write(adding(engine, "first")))]
    await asyncio.to_thread(engine.waiting_for_disk.acquire)
    tasks += [asyncio.create_task(group.write(adding(engine, text))) for text in texts]
    await asyncio.sleep(0)  # each task puts its write into the queue in its first step
    return tasks


async def test_writes_that_have_queued_up_share_a_commit() -> None:
    engine = Engine()
    group = GroupCommit(engine, engine)
    tasks = await queue_up(engine, group, "a", "b", "c")
    engine.gate.set()

    assert await asyncio.gather(*tasks) == ["FIRST", "A", "B", "C"]
    assert engine.durable == ["first", "a", "b", "c"]
    assert engine.commits == 2
    await group.close()


async def test_a_faulty_write_fails_alone() -> None:
    engine = Engine()
    group = GroupCommit(engine, engine)
    tasks = await queue_up(engine, group, "a", "faulty", "c")
    engine.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert results[:2] == ["FIRST", "A"]
    assert isinstance(results[2], ValueError)
    assert results[3] == "C"
    assert engine.durable == ["first", "a", "c"]
    await group.close()


async def test_a_write_is_made_in_the_loop_s_thread_once_no_other_process_writes() -> None:
    engine = Engine()
    group = GroupCommit(engine, engine)
    await group.write(adding(engine, "at once"))
    engine.refusals = 30
    await group.write(adding(engine, "later"))

    assert engine.durable == ["at once", "later"]
    assert set(engine.threads) == {threading.current_thread()}
    await group.close()


@pytest.mark.parametrize("fault", [StoreUnavailable(), ValueError("unforeseen")])
async def test_a_transaction_that_cannot_be_opened_fails_what_has_queued_up(fault: Exception) -> None:
    class Closed(Engine):
        is_closed = True

        def begin(self) -> bool:
            if self.is_closed:
                raise fault
            return super().begin()

    engine = Closed()
    group: GroupCommit[Engine] = GroupCommit(engine, engine)
    results = await asyncio.gather(*(group.write(adding(engine, text)) for text in "ab"), return_exceptions=True)
    assert [type(result) for result in results] == [type(fault)] * 2

    engine.is_closed = False
    assert await group.write(adding(engine, "c")) == "C"
    await group.close()


async def test_another_process_is_waited_for_with_patience_that_ends() -> None:
    engine = Engine()
    group = GroupCommit(engine, engine, patience_seconds=0.02)
    engine.refusals = 1_000_000
    results = await asyncio.gather(*(group.write(adding(engine, text)) for text in "ab"), return_exceptions=True)
    assert all(isinstance(result, StoreUnavailable) for result in results)

    engine.refusals = 0
    assert await group.write(adding(engine, "c")) == "C"
    assert engine.durable == ["c"]
    await group.close()


@pytest.mark.parametrize("neighbours", [[], ["a", "b"]])
async def test_a_write_that_raises_what_no_future_takes_fails_alone_too(neighbours: list[str]) -> None:
    def write(connection: Engine) -> None:
        raise StopIteration

    engine = Engine()
    group = GroupCommit(engine, engine)
    writes = [group.write(write), *(group.write(adding(engine, text)) for text in neighbours)]
    failure, *results = await asyncio.wait_for(asyncio.gather(*writes, return_exceptions=True), 5)

    assert isinstance(failure, RuntimeError)
    assert isinstance(failure.__cause__, StopIteration)
    assert results == [text.upper() for text in neighbours]
    assert await group.write(adding(engine, "c")) == "C"
    await group.close()


@pytest.mark.parametrize("refusals", [0, 3])
async def test_faulty_writes_of_any_number_fail_alone(refusals: int) -> None:
    engine = Engine()
    group = GroupCommit(engine, engine)
    engine.refusals = refusals
    texts = ["a", "faulty", "faulty", "d", "faulty"]
    results = await asyncio.gather(*(group.write(adding(engine, text)) for text in texts), return_exceptions=True)

    assert [isinstance(result, ValueError) for result in results] == [text == "faulty" for text in texts]
    assert engine.durable == ["a", "d"]
    assert await group.write(adding(engine, "e")) == "E"
    await group.close()


async def test_a_failed_commit_acknowledges_nothing() -> None:
    engine = Engine()
    group = GroupCommit(engine, engine)
    tasks = await queue_up(engine, group, "a", "b")
    engine.fails_to_commit = True
    engine.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert all(isinstance(result, StoreUnavailable) for result in results)
    assert engine.durable == []
    await group.close()


async def test_a_write_whose_caller_is_gone_is_not_made() -> None:
    engine = Engine()
    group = GroupCommit(engine, engine)
    _, gone, stays = tasks = await queue_up(engine, group, "gone", "stays")
    gone.cancel()
    await asyncio.sleep(0)
    engine.gate.set()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert stays.result() == "STAYS"
    assert engine.durable == ["first", "stays"]
    await group.close()


async def test_more_than_may_wait_is_refused_at_once() -> None:
    engine = Engine()
    group = GroupCommit(engine, engine, max_queued=2)
    tasks = await queue_up(engine, group, "a", "b")

    with pytest.raises(StoreUnavailable):
        await group.write(adding(engine, "c"))

    engine.gate.set()
    await asyncio.gather(*tasks)
    await group.close()


async def test_closing_makes_durable_what_has_queued_up() -> None:
    engine = Engine()
    group = GroupCommit(engine, engine)
    tasks = await queue_up(engine, group, "a", "b")
    closing = asyncio.create_task(group.close())
    engine.gate.set()
    await closing

    assert engine.durable == ["first", "a", "b"]
    assert [await task for task in tasks] == ["FIRST", "A", "B"]
    with pytest.raises(StoreUnavailable):
        await group.write(adding(engine, "late"))
