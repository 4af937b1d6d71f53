"""The schema: numbered steps, applied in order and under a lock."""

from importlib.resources.abc import Traversable

from service.store import migrations
from service.store.migrations import SchemaMismatch, numbered_steps, refuse_newer
from service.store.postgresql.database import Connection

_LOCK = "SELECT pg_advisory_xact_lock(hashtext('sale-service migrate'))"
_CREATE_TABLE = (
    "CREATE TABLE IF NOT EXISTS schema_migrations"
    " (version integer PRIMARY KEY, apply_time timestamptz NOT NULL DEFAULT now())"
)
_HAS_TABLE = "SELECT to_regclass('schema_migrations') IS NOT NULL"
_SELECT_VERSION = "SELECT coalesce(max(version), 0) FROM schema_migrations"


async def migrate(connection: Connection) -> int:
    """Bring the schema up to date; of several that do so at the same time one does, and the others wait.

    Returns:
        The version that it has now.

    Raises:
        SchemaMismatch: it is newer than this program, or the database can't hold every text.
    """
    encoding = await connection.fetchval("SHOW server_encoding")
    if encoding != "UTF8":
        raise SchemaMismatch(f"the database's encoding is {encoding}; create it with ENCODING 'UTF8'")
    steps = _steps()
    async with connection.transaction():
        await connection.execute(_LOCK)
        await connection.execute(_CREATE_TABLE)
        version = int(await connection.fetchval(_SELECT_VERSION))
        refuse_newer(version, len(steps))
        for number, step in enumerate(steps[version:], start=version + 1):
            await connection.execute(step.read_text(encoding="utf-8"))
            await connection.execute("INSERT INTO schema_migrations (version) VALUES ($1)", number)
    return len(steps)


async def require_current(connection: Connection) -> int:
    """Return the version of the schema, and refuse one that this version of the program does not work with.

    Raises:
        SchemaMismatch: it is one.
    """
    version = await stored_version(connection)
    migrations.require_current(version, known_version())
    return version


def known_version() -> int:
    """Return the version of the schema that this version of the program works with."""
    return len(_steps())


async def stored_version(connection: Connection) -> int:
    """Return the version that the schema has; 0 where there is none."""
    if await connection.fetchval(_HAS_TABLE):
        return int(await connection.fetchval(_SELECT_VERSION))
    return 0


async def begin_use(connection: Connection) -> None:
    """Take the database for good as one that serves: no copy is made into it any more.

    Raises:
        SchemaMismatch: the schema is not current, or a copy into it is not finished.
        RuntimeError: the server would acknowledge what it can lose.
    """
    await require_current(connection)
    if await connection.fetchval("SHOW synchronous_commit") == "off":
        raise RuntimeError("synchronous_commit is off: what was acknowledged could be lost; set it to on")
    await connection.execute("UPDATE store_use SET use = 'SERVING' WHERE use IN ('NEW', 'COPIED')")
    if await connection.fetchval("SELECT use FROM store_use") != "SERVING":
        raise SchemaMismatch("a copy into the database is not finished: run sale-service copy again")


def _steps() -> list[Traversable]:
    return numbered_steps("service.store.postgresql.migrations")
