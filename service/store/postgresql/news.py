"""Telling all nodes soon that sales have changed.

After a change its node gives positions to what has none, and notifies the others: not within the transaction of the
change, for PostgreSQL lets only one transaction that notifies commit at a time. Whoever misses that (the node died, the
connection was lost, a pooler stands between) looks again by itself.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import asyncpg
import structlog

from service.errors import StoreUnavailable
from service.store.postgresql.database import Connection, Database, NoServer

_CHANNEL = "sale_changes"
_GATHER_SECONDS = 0.02
"""For how long changes are gathered before they get their positions."""
_POLL_SECONDS = 1.0
"""How often it is looked whether something was missed."""
_RECONNECT_SECONDS = 1.0

_log = structlog.stdlib.get_logger(__name__)


class News:
    """Tells that sales have changed, and waits for it.

    Args:
        database: where they have.
        order_changes: gives positions to all changes that have none.
    """

    def __init__(self, database: Database, order_changes: Callable[[], Awaitable[None]]) -> None:
        self._database = database
        self._order_changes = order_changes
        self._changed = asyncio.Event()
        self._told = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None

    def tell(self) -> None:
        """Tell whoever waits, on every node, that there is a change."""
        self._changed.set()
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell_changes())

    async def wait(self) -> None:
        """Return soon after a change was committed on any node; sometimes without one."""
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())
        with suppress(TimeoutError):
            async with asyncio.timeout(_POLL_SECONDS):
                await self._told.wait()

    async def close(self) -> None:
        """Tell and listen no more."""
        tasks = [task for task in (self._telling, self._listening) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _wake(self, *_: object) -> None:
        told, self._told = self._told, asyncio.Event()
        told.set()

    async def _tell_changes(self) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(_GATHER_SECONDS)
            self._changed.clear()
            try:
                await self._order_changes()
                await self._database.read(_notify)
            except StoreUnavailable as error:
                _log.warning("changes not told", fault=str(error))  # readers find them when they look by themselves
            except Exception as error:
                _log.error("changes not told", exc_info=error)
            self._wake()

    async def _listen(self) -> None:
        while True:
            try:
                connection = await self._database.connect()
            except NoServer:
                await asyncio.sleep(_RECONNECT_SECONDS)  # who asks for data tells about the outage
                continue
            except Exception as error:
                _log.error("changes not listened to", exc_info=error)
                await asyncio.sleep(_RECONNECT_SECONDS)
                continue
            ended = asyncio.Event()
            connection.add_termination_listener(lambda _, ended=ended: ended.set())
            try:
                await connection.add_listener(_CHANNEL, self._wake)
                self._wake()  # of what was told before
                await ended.wait()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                _log.warning("changes not listened to", fault=str(error))
                await asyncio.sleep(_RECONNECT_SECONDS)
            finally:
                connection.terminate()


async def _notify(connection: Connection) -> None:
    await connection.execute(f"NOTIFY {_CHANNEL}")
