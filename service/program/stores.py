"""The store that the settings name.

PostgreSQL's half is imported where it is needed only: with its driver it is 3 MB, which a server on SQLite spares.
"""

from datetime import timedelta
from pathlib import Path

from gateway.program.settings import ConfigurationError
from service.errors import StoreUnavailable
from service.program.store_settings import StoreSettings
from service.store import Store
from service.store.sqlite import SqliteStore, file


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
    from service.program.postgresql import open_postgresql  # noqa: PLC0415

    return await open_postgresql(settings, statement_timeout=statement_timeout, read_only=read_only)


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
    from service.program.postgresql import migrate_postgresql  # noqa: PLC0415

    return await migrate_postgresql(settings)


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
    from service.program.postgresql import require_current_postgresql  # noqa: PLC0415

    return await require_current_postgresql(settings)


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
