"""What a store holds, read past the server: both engines by the same words."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import apsw
import asyncpg

_SQLITE = "sqlite:///"
Rows = list[tuple[Any, ...]]


class StoreReader:
    """A connection of its own to a store; `reading` opens one."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def rows(self, statement: str) -> Rows:
        """Return the rows of a statement that both engines understand."""
        if isinstance(self._connection, apsw.Connection):
            return self._connection.execute(statement).fetchall()
        return [tuple(row) for row in await self._connection.fetch(statement)]


@asynccontextmanager
async def reading(store: str) -> AsyncIterator[StoreReader]:
    """Read a store, by its URL, for as long as the block runs."""
    if store.startswith(_SQLITE):
        file = apsw.Connection(store.removeprefix(_SQLITE))
        file.set_busy_timeout(5000)
        try:
            yield StoreReader(file)
        finally:
            file.close()
        return
    connection = await asyncpg.connect(store)
    try:
        yield StoreReader(connection)
    finally:
        await connection.close()


def rows(store: str, statement: str) -> Rows:
    """Return the rows of one statement."""

    async def read() -> Rows:
        async with reading(store) as reader:
            return await reader.rows(statement)

    return asyncio.run(read())
