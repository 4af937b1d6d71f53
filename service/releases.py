"""Waiting until a moment, to some microseconds.

An event loop's own timers count whole milliseconds from whenever it has looked last: what was done before would show in
when they fire.
"""

import asyncio
import heapq
import itertools
import threading
from collections.abc import Callable

_IDLE_SECONDS = 10.0
"""After so long without anything to wait for, the thread ends."""


class Releases:
    """Lets coroutines go on at their moments. A thread of its own looks at the clock, while anything waits.

    Args:
        clock: seconds, as `time.monotonic` counts them.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: list[tuple[float, int, asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._runs = False

    async def wait_until(self, moment: float) -> None:
        """Return at a moment by the clock, or at once where it is over."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._changed:
            heapq.heappush(self._waiting, (moment, next(self._numbers), loop, future))
            if not self._runs:
                self._runs = True
                threading.Thread(target=self._run, name="releases", daemon=True).start()
            self._changed.notify()
        await future

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._waiting and not self._changed.wait(_IDLE_SECONDS) and not self._waiting:
                    self._runs = False
                    return
                due = self._due()
            for loop, future in due:
                _release(loop, future)

    def _due(self) -> list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]]:
        """Return what may go on; having waited for the first one, or for a change, if there is nothing."""
        due = []
        while self._waiting and self._waiting[0][0] <= self._clock():
            _, _, loop, future = heapq.heappop(self._waiting)
            due.append((loop, future))
        if not due and self._waiting:
            self._changed.wait(max(0.0, self._waiting[0][0] - self._clock()))
        return due


def _release(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> None:
    def set_result() -> None:
        if not future.done():
            future.set_result(None)

    try:
        loop.call_soon_threadsafe(set_result)
    except RuntimeError:
        return  # the loop is closed: nobody waits any more
