"""The store that the settings name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from asyncpg import ClientConfigurationError, PostgresError

from gateway.program.settings import ConfigurationError
from service.errors import StoreUnavailable
from service.program.settings import StoreSettings
from service.store import Store
from service.store.postgresql import PostgresqlStore, schema
from service.store.postgresql.database import Connection, Database, NoServer
from service.store.sqlite import SqliteStore, file

_CONNECT_SECONDS = 10.0
"""How long a program that starts waits for the database."""


async def open_store(
    settings: StoreSettings, *, statement_timeout: timedelta | None = None, read_only: bool = False
) -> Store:
    """Open the store within the running event loop; make an SQLite file if there is none.

    Args:
        settings: which one.
        statement_timeout: how long a statement of a request may take on PostgreSQL; None where there are no requests.
        read_only: whether nothing is going to be changed.

    Raises:
        ConfigurationError: it can't be opened.
    """
    if settings.path is not None:
        return _open_sqlite(settings.path)
    database = create_database(settings, statement_timeout=statement_timeout)
    database.keep(await connect(database))  # a refusal to connect is told in the server's words
    store = PostgresqlStore(database)
    try:
        await store.open(read_only=read_only)
    except (StoreUnavailable, RuntimeError, PostgresError) as error:
        await store.close()
        raise ConfigurationError(f"store.url: {error.__cause__ or error}") from error
    return store


async def migrate_store(settings: StoreSettings) -> int:
    """Bring a store's schema up to date; make an SQLite file if there is none.

    Returns:
        The version that it has now.

    Raises:
        ConfigurationError: the store can't be opened.
        SchemaMismatch: it can't be brought up to date.
    """
    if settings.path is not None:
        await _open_sqlite(settings.path).close()
        return await require_current(settings)
    async with _connected(settings) as connection:
        return await schema.migrate(connection)


async def require_current(settings: StoreSettings) -> int:
    """Return the version of a store's schema, and refuse one that this version of the program does not work with.

    Raises:
        ConfigurationError: the store can't be opened.
        SchemaMismatch: it is one.
    """
    if settings.path is not None:
        require_file(settings.path)
        try:
            return file.require_current(settings.path)
        except StoreUnavailable as error:
            raise _not_opened(settings.path, error) from error
    async with _connected(settings) as connection:
        return await schema.require_current(connection)


@asynccontextmanager
async def _connected(settings: StoreSettings) -> AsyncIterator[Connection]:
    connection = await connect(create_database(settings))
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


async def connect(database: Database) -> Connection:
    """Return a connection of the caller's own.

    Raises:
        ConfigurationError: no server can be connected to.
    """
    try:
        return await database.connect(_CONNECT_SECONDS)
    except (NoServer, ClientConfigurationError) as error:
        raise ConfigurationError(f"store.url: {error}") from error
    except ValueError:  # its text can have a piece of the URL, and so of a password
        raise ConfigurationError("store.url: can't be used; is a name or a parameter in it wrong?") from None


def require_file(path: Path) -> None:
    """Refuse an SQLite store that is not there yet.

    Raises:
        ConfigurationError: there is no such file.
    """
    if not path.exists():
        raise ConfigurationError(f"store.url: there is no file {path}")


def _open_sqlite(path: Path) -> SqliteStore:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return SqliteStore(path)
    except (OSError, StoreUnavailable, RuntimeError) as error:
        raise _not_opened(path, error) from error


def _not_opened(path: Path, error: Exception) -> ConfigurationError:
    return ConfigurationError(f"store.url: {path} can't be opened: {error.__cause__ or error}")
