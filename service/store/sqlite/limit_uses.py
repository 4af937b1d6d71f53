"""Statements about uses of limits."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import apsw

from service.identifiers import microseconds
from service.store.records import Charge, LimitUse
from service.store.sqlite.tables import LIMIT_USES

_UPSERT = f"{LIMIT_USES.insert} ON CONFLICT DO UPDATE SET end_time = excluded.end_time"
_SELECT = f"{LIMIT_USES.select} WHERE key = ?"
_PURGE = "DELETE FROM limit_uses WHERE key IN (SELECT key FROM limit_uses WHERE end_time <= ? LIMIT ?)"


def find_end_times(connection: apsw.Connection, charges: Sequence[Charge]) -> Mapping[bytes, datetime]:
    """Return the end times of the uses that are stored of the limits that are charged, by their keys."""
    rows = [row for charge in charges for row in connection.execute(_SELECT, (charge.key,))]
    return {use.key: use.end_time for use in map(LIMIT_USES.record, rows)}


def put_end_times(connection: apsw.Connection, end_times: Mapping[bytes, datetime]) -> None:
    """Store end times by the keys of their uses."""
    connection.executemany(_UPSERT, [LIMIT_USES.row(LimitUse(*use)) for use in end_times.items()])


def purge_limit_uses(connection: apsw.Connection, now: datetime, limit: int) -> int:
    """See `service.store.Store`."""
    connection.execute(_PURGE, (microseconds(now), limit))
    return connection.changes()
