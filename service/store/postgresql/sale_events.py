"""Statements about the requests that named a sale."""

from collections.abc import Sequence

import orjson

from service.store import MAX_SALE_EVENTS
from service.store.postgresql.database import Connection
from service.store.postgresql.tables import SALE_EVENTS, typed_placeholders
from service.store.records import SaleEvent

_TYPED = ", ".join(
    f"{name} {placeholder.partition('::')[2]}"
    for name, placeholder in zip(SALE_EVENTS.names, typed_placeholders(SALE_EVENTS.types).split(", "), strict=True)
)
# One statement for all: each by itself would cost the server more. Sales are looked for one by one, by their index:
# joined, a generic plan would read the whole table.
_INSERT = (
    f"INSERT INTO sale_events ({SALE_EVENTS.columns}) SELECT {SALE_EVENTS.columns}"
    f" FROM json_to_recordset($1::json) AS event ({_TYPED})"
    " WHERE (SELECT 1 FROM sales WHERE sales.invoice_id = event.invoice_id) IS NOT NULL ON CONFLICT DO NOTHING"
)
_SELECT_OF_SALE = f"{SALE_EVENTS.select} WHERE invoice_id = $1 ORDER BY event_id"
_KEPT_AT_EACH_END = MAX_SALE_EVENTS // 2
_DELETE_SURPLUS = (
    "DELETE FROM sale_events AS event USING (SELECT invoice_id, event_id, row_number() OVER sale AS place,"
    " count(*) OVER (PARTITION BY invoice_id) AS count FROM sale_events WHERE invoice_id = ANY ($1::text[])"
    " WINDOW sale AS (PARTITION BY invoice_id ORDER BY event_id)) AS placed"
    f" WHERE placed.place > {_KEPT_AT_EACH_END} AND placed.place <= placed.count - {_KEPT_AT_EACH_END}"
    " AND (event.invoice_id, event.event_id) = (placed.invoice_id, placed.event_id)"
)


async def append_sale_events(connection: Connection, events: Sequence[SaleEvent]) -> None:
    """See `service.store.Store`."""
    async with connection.transaction():
        await connection.execute(_INSERT, orjson.dumps([event._asdict() for event in events]).decode())
        await connection.execute(_DELETE_SURPLUS, sorted({event.invoice_id for event in events}))


async def list_sale_events(connection: Connection, invoice_id: str) -> Sequence[SaleEvent]:
    """See `service.store.Store`."""
    return [SALE_EVENTS.record(row) for row in await connection.fetch(_SELECT_OF_SALE, invoice_id)]
