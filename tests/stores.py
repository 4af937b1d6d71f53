"""Stores for tests: each with data of its own."""

import asyncio
import itertools
import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import apsw
import asyncpg

from service.store import Store
from service.store.postgresql import PostgresqlStore
from service.store.postgresql.database import Connection, Database
from service.store.postgresql.schema import migrate

OpenStore = Callable[[], Awaitable[Store]]
"""Opens the same store each time."""


@contextmanager
def schema(url: str, *, migrated: bool = True) -> Iterator[str]:
    """Make a schema in a database, and drop it at the end.

    Args:
        url: of the database.
        migrated: whether it gets its tables.

    Yields:
        A URL whose connections use it.
    """
    name = f"test_{secrets.token_hex(8)}"

    async def create() -> None:
        connection = await asyncpg.connect(url, connection_class=Connection)
        await connection.execute(f"CREATE SCHEMA {name}; SET search_path TO {name}")
        if migrated:
            await migrate(connection)
        await connection.close()

    async def drop() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(f"DROP SCHEMA {name} CASCADE")
        await connection.close()

    asyncio.run(create())
    try:
        yield f"{url}{'&' if '?' in url else '?'}search_path={quote(name)}"
    finally:
        asyncio.run(drop())


@contextmanager
def write_lock(path: Path) -> Iterator[None]:
    """Let nobody else write an SQLite file for as long as the block runs; what a server writes just now comes first."""
    with closing(apsw.Connection(str(path))) as connection:
        connection.set_busy_timeout(10_000)
        connection.execute("BEGIN IMMEDIATE")
        yield


async def open_postgresql(url: str) -> PostgresqlStore:
    """Open the store in a database that is migrated."""
    store = PostgresqlStore(Database(url, statement_timeout=timedelta(seconds=20)))
    try:
        await store.open()
    except RuntimeError:
        await store.close()
        raise
    return store


class StoresInTurn:
    """Several stores on the same data, as one: each call goes to the next."""

    def __init__(self, stores: Sequence[Store]) -> None:
        self._stores = stores
        self._next = itertools.cycle(stores)

    def __getattr__(self, name: str) -> Any:
        return getattr(next(self._next), name)

    async def close(self) -> None:
        for store in self._stores:
            await store.close()
