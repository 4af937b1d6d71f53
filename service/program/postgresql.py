"""The PostgreSQL database that the settings name."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from asyncpg import ClientConfigurationError, PostgresError

from gateway.program.settings import ConfigurationError
from service.errors import StoreUnavailable
from service.program.store_settings import StoreSettings
from service.store.postgresql import PostgresqlStore, schema
from service.store.postgresql.database import Connection, Database, NoServer

_WAYS = " (no password was given: store.password_file, SALE_STORE__PASSWORD, PGPASSWORD or ~/.pgpass)"
_CONNECT_SECONDS = 10.0
"""How long a program that starts waits for the database."""


async def open_postgresql(
    settings: StoreSettings, *, statement_timeout: timedelta | None, read_only: bool
) -> PostgresqlStore:
    """See `service.program.stores.open_store`."""
    database = create_database(settings, statement_timeout=statement_timeout)
    database.keep(await connect(database, settings))  # a refusal to connect is told in the server's words
    store = PostgresqlStore(database)
    try:
        await store.open(read_only=read_only)
    except (StoreUnavailable, RuntimeError, PostgresError) as error:
        await store.close()
        raise ConfigurationError(f"store.url: {error.__cause__ or error}") from error
    return store


async def migrate_postgresql(settings: StoreSettings) -> int:
    """See `service.program.stores.migrate_store`."""
    async with _connected(settings) as connection:
        return await schema.migrate(connection)


async def require_current_postgresql(settings: StoreSettings) -> int:
    """See `service.program.stores.require_current`."""
    async with _connected(settings) as connection:
        return await schema.require_current(connection)


@asynccontextmanager
async def _connected(settings: StoreSettings) -> AsyncIterator[Connection]:
    connection = await connect(create_database(settings), settings)
    try:
        yield connection
    except PostgresError as error:  # a privilege is missing, say
        raise ConfigurationError(f"store.url: {error}") from error
    finally:
        await connection.close()


def create_database(settings: StoreSettings, *, statement_timeout: timedelta | None = None) -> Database:
    """Return the PostgreSQL database of the settings; nothing is connected to yet.

    Raises:
        ConfigurationError: the password can't be read.
    """
    try:
        settings.read_password()
    except OSError as error:
        raise ConfigurationError(f"store.password_file: {settings.password_file}: {error.strerror}") from None
    return Database(
        settings.url,
        password=settings.read_password,
        connections=settings.connections,
        statement_timeout=statement_timeout,
    )


async def connect(database: Database, settings: StoreSettings) -> Connection:
    """Return a connection of the caller's own.

    Args:
        database: as `create_database` returned it.
        settings: that it is of.

    Raises:
        ConfigurationError: no server can be connected to.
    """
    try:
        return await database.connect(_CONNECT_SECONDS)
    except NoServer as error:
        lacks_password = error.refuses_password and not _gives_password(settings)
        raise ConfigurationError(f"store.url: {error}{_WAYS if lacks_password else ''}") from error
    except ClientConfigurationError as error:
        raise ConfigurationError(f"store.url: {error}") from error
    except ValueError:  # its text can have a piece of the URL, and so of a password
        raise ConfigurationError("store.url: can't be used; is a name or a parameter in it wrong?") from None


def _gives_password(settings: StoreSettings) -> bool:
    """Tell whether there is a password somewhere; of a file of libpq's it is not known for which servers it has one."""
    parts = urlsplit(settings.url)
    ways = {name for name, _ in parse_qsl(parts.query)}
    ways |= {name.removeprefix("PG").lower() for name in os.environ if name.startswith("PG")}
    return bool(
        settings.read_password()
        or parts.password
        or ways & {"password", "passfile", "service"}
        or Path("~/.pgpass").expanduser().exists()
    )
