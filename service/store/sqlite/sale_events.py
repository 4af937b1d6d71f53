"""Statements about the requests that named a sale. A trigger keeps no more than so many of each."""

from collections.abc import Sequence

import apsw

from service.store.records import SaleEvent
from service.store.sqlite.tables import SALE_EVENTS

_INSERT = (
    f"INSERT INTO sale_events ({SALE_EVENTS.columns}) SELECT {SALE_EVENTS.placeholders}"
    " WHERE EXISTS (SELECT 1 FROM sales WHERE invoice_id = ?1) ON CONFLICT DO NOTHING"
)
_SELECT_OF_SALE = f"{SALE_EVENTS.select} WHERE invoice_id = ? ORDER BY event_id"


def append_sale_events(connection: apsw.Connection, events: Sequence[SaleEvent]) -> None:
    """See `service.store.Store`."""
    connection.executemany(_INSERT, events)  # they are rows


def list_sale_events(connection: apsw.Connection, invoice_id: str) -> Sequence[SaleEvent]:
    """See `service.store.Store`."""
    return [SALE_EVENTS.record(row) for row in connection.execute(_SELECT_OF_SALE, (invoice_id,))]
