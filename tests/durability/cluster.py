"""A PostgreSQL primary and its synchronous standby, which change places when the primary is lost."""

import asyncio
import time
from typing import NamedTuple

import asyncpg

from service.store.postgresql.database import Database
from service.store.postgresql.schema import migrate
from tests.postgresql import PostgresqlInstallation, PostgresqlServer, url_of

_LOOK_AGAIN_SECONDS = 0.005


class Failover(NamedTuple):
    """When it happened, by the monotonic clock."""

    lost: float
    """The primary was about to be lost."""
    promoted: float
    """The promotion was about to be asked for."""
    accepting: float
    """The new primary was seen to take writes."""


class Cluster:
    """Two servers that take turns; each keeps its port, so that the URL holds for all time.

    Args:
        installation: makes them.
    """

    def __init__(self, installation: PostgresqlInstallation) -> None:
        self.primary = installation.create("left")
        self.primary.start()
        self.standby = self._follower("right")
        self.url = url_of([self.primary, self.standby], target_session_attrs="read-write")
        asyncio.run(_migrate(self.primary))

    def fail_over(self, pause_seconds: float, *, by_hanging: bool = False) -> Failover:
        """Lose the primary, and promote the standby after a pause."""
        lost = time.monotonic()
        if by_hanging:
            self.primary.pause()
        else:
            self.primary.kill()
        time.sleep(pause_seconds)
        promoted = time.monotonic()
        self.standby.promote(wait=False)
        asyncio.run(_wait_for_writes(self.standby))
        accepting = time.monotonic()
        self.primary, self.standby = self.standby, self.primary
        return Failover(lost, promoted, accepting)

    def rebuild(self) -> None:
        """Make the lost server anew as the synchronous standby of the other; what hangs is ended."""
        port = self.standby.port
        self.standby.discard()
        self.standby = self._follower(self.standby.name, port)

    def _follower(self, name: str, port: int | None = None) -> PostgresqlServer:
        standby = self.primary.create_standby(name, port=port)
        standby.start()
        self.primary.require_synchronous(name)
        return standby


async def _migrate(server: PostgresqlServer) -> None:
    connection = await Database(server.url()).connect()
    await migrate(connection)
    await connection.close()


async def _wait_for_writes(server: PostgresqlServer) -> None:
    connection = await asyncpg.connect(server.url())
    while await connection.fetchval("SELECT pg_is_in_recovery()"):  # noqa: ASYNC110  # nothing tells of it
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    await connection.close()
