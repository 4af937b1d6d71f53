"""What state a PostgreSQL database is in."""

from datetime import datetime
from typing import NamedTuple

import asyncpg

from gateway.program.settings import ConfigurationError
from service.identifiers import utc_now
from service.program.postgresql import connect, create_database
from service.program.store_settings import StoreSettings
from service.store.postgresql import schema
from service.store.postgresql.database import Connection

_LOOK = (
    "SELECT current_setting('server_version') AS server, current_setting('synchronous_commit') AS commits,"
    " clock_timestamp() AS clock, current_setting('max_connections')::bigint"
    " - current_setting('superuser_reserved_connections')::bigint"
    " - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS free,"
    " (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user"
    " AND pid <> pg_backend_pid()) AS own"
)
_LAST_CHANGE = "SELECT update_time FROM sale_changes ORDER BY position DESC LIMIT 1"


class DatabaseState(NamedTuple):
    """What state a database is in."""

    server: str
    """What it says that it is."""
    version: int
    """Of the schema; 0 where there is none."""
    known_version: int
    """That this program works with."""
    keeps_commits: bool
    """Whether what it acknowledges is durable."""
    asked_at: datetime
    """By this host's clock."""
    clock: datetime
    """By its own, at that moment."""
    last_change: datetime | None
    free_connections: int
    own_connections: int
    """Those of servers that use it already, as the same user."""


async def inspect_database(settings: StoreSettings) -> DatabaseState:
    """Return the state of the database of the settings.

    Raises:
        ConfigurationError: it can't be reached, or does not tell.
    """
    connection = await connect(create_database(settings), settings)
    try:
        async with connection.transaction(readonly=True):
            return await _inspect(connection)
    except asyncpg.PostgresError as error:  # a privilege is missing, say
        raise ConfigurationError(f"store.url: {error}") from error
    finally:
        await connection.close()


async def _inspect(connection: Connection) -> DatabaseState:
    version = await schema.stored_version(connection)
    (row,) = await connection.fetch(_LOOK)
    asked_at = utc_now()
    last = await connection.fetchval(_LAST_CHANGE) if version else None
    return DatabaseState(
        server=f"PostgreSQL {row['server']}",
        version=version,
        known_version=schema.known_version(),
        keeps_commits=row["commits"] != "off",
        asked_at=asked_at,
        clock=row["clock"],
        last_change=last,
        free_connections=row["free"],
        own_connections=row["own"],
    )
