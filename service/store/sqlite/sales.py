"""Statements about sales."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import apsw

from service.errors import ErrorReason, SaleError
from service.identifiers import first_uuid, microseconds
from service.sale_states import FINAL, SaleState
from service.store import IdentifierTaken
from service.store.records import IdempotencyRecord, Sale, SaleFilter
from service.store.sqlite.idempotency_records import find_record, put_record
from service.store.sqlite.tables import CHANGING, INSERT_CHANGE, SALES, changing_values, state_name

_INSERT_SALE = f"{SALES.insert} ON CONFLICT DO NOTHING RETURNING 1"
_SELECT_SALE = f"{SALES.select} WHERE invoice_id = ?"
_SELECT_BY_SESSION = (
    f"{SALES.select} WHERE session_token = ? AND access_token_hash = ? AND serial_number = ?"
    " ORDER BY invoice_id DESC LIMIT 1"
)
_EXISTS_SESSION_TOKEN = "SELECT EXISTS (SELECT 1 FROM sales WHERE session_token = ?)"
_UPDATE_SALE = (
    f"UPDATE sales SET session_token = ?, {', '.join(f'{name} = ?' for name in CHANGING)} WHERE invoice_id = ?"
)
_COUNT_FAILURE = "UPDATE sales SET random_sum_failures = random_sum_failures + ? WHERE invoice_id = ?"
_SELECT_EXPIRED = "SELECT invoice_id FROM sales WHERE state = 'INITIATED' AND expire_time <= ? LIMIT ?"
_SELECT_TO_PURGE = (
    "SELECT invoice_id FROM sales WHERE state = ? AND invoice_id < ? AND update_time < ? ORDER BY invoice_id LIMIT ?"
)


def open_session(connection: apsw.Connection, sale: Sale, record: IdempotencyRecord | None) -> IdempotencyRecord | None:
    """See `service.store.Store`."""
    if record is not None:
        earlier = find_record(connection, record.access_token_hash, record.idempotency_key, sale.initiate_time)
        if earlier is not None:
            return earlier
    row = SALES.row(sale)
    if connection.execute(_INSERT_SALE, row).get is None:
        raise IdentifierTaken
    connection.execute(INSERT_CHANGE, (sale.invoice_id, *changing_values(row)))
    if record is not None:
        put_record(connection, record)
    return None


def find_sale(connection: apsw.Connection, invoice_id: str) -> Sale | None:
    """See `service.store.Store`."""
    row = connection.execute(_SELECT_SALE, (invoice_id,)).fetchone()
    return None if row is None else SALES.record(row)


def require_sale(connection: apsw.Connection, invoice_id: str) -> Sale:
    """Return a sale that was stored.

    Raises:
        SaleError: ERROR_REASON_INVOICE_NOT_FOUND, it was purged since.
    """
    sale = find_sale(connection, invoice_id)
    if sale is None:
        raise SaleError(ErrorReason.ERROR_REASON_INVOICE_NOT_FOUND)
    return sale


def find_sale_by_session(
    connection: apsw.Connection, session_token: str, access_token_hash: bytes, serial_number: str
) -> Sale | None:
    """See `service.store.Store`."""
    row = connection.execute(_SELECT_BY_SESSION, (session_token, access_token_hash, serial_number)).fetchone()
    return None if row is None else SALES.record(row)


def has_session_token(connection: apsw.Connection, session_token: str) -> bool:
    """See `service.store.Store`."""
    return bool(connection.execute(_EXISTS_SESSION_TOKEN, (session_token,)).get)


def list_sales(
    connection: apsw.Connection, filter: SaleFilter, beyond: str | None, limit: int, *, oldest_first: bool
) -> Sequence[Sale]:
    """See `service.store.Store`."""
    comparison, order = (">", "ASC") if oldest_first else ("<", "DESC")
    condition, bindings = _condition(filter, (comparison, beyond))
    rows = connection.execute(f"{SALES.select}{condition} ORDER BY invoice_id {order} LIMIT ?", (*bindings, limit))
    return [SALES.record(row) for row in rows]


def count_sales(connection: apsw.Connection, filter: SaleFilter) -> int:
    """See `service.store.Store`."""
    condition, bindings = _condition(filter)
    count: int = connection.execute(f"SELECT count(*) FROM sales{condition}", bindings).get
    return count


def bind_check(
    connection: apsw.Connection, invoice_id: str, session_token: str, client_card_id: str | None, now: datetime
) -> Sale:
    """See `service.store.Store`."""
    sale = require_sale(connection, invoice_id)
    if sale.state != SaleState.SALE_STATE_INITIATED:
        return sale
    checked = replace(
        sale,
        state=SaleState.SALE_STATE_CHECKED,
        session_token=session_token,
        check_time=now,
        client_card_id=client_card_id,
        update_time=now,
    )
    change_sale(connection, checked)
    return checked


def change_sale(connection: apsw.Connection, sale: Sale) -> None:
    """Store what has changed of a sale, and that it has."""
    values = changing_values(SALES.row(sale))
    connection.execute(_UPDATE_SALE, (sale.session_token, *values, sale.invoice_id))
    connection.execute(INSERT_CHANGE, (sale.invoice_id, *values))


def count_random_sum_answer(connection: apsw.Connection, invoice_id: str, *, failed: bool) -> int:
    """See `service.store.Store`."""
    sale = require_sale(connection, invoice_id)
    connection.execute(_COUNT_FAILURE, (int(failed), invoice_id))
    return sale.random_sum_failures


def expire_sessions(connection: apsw.Connection, now: datetime, limit: int) -> int:
    """See `service.store.Store`."""
    expired = connection.execute(_SELECT_EXPIRED, (microseconds(now), limit)).fetchall()
    for (invoice_id,) in expired:
        sale = require_sale(connection, str(invoice_id))
        change_sale(connection, replace(sale, state=SaleState.SALE_STATE_EXPIRED, update_time=now))
    return len(expired)


def purge_sales(connection: apsw.Connection, updated_before: datetime, limit: int) -> int:
    """See `service.store.Store`."""
    purged = 0
    moment = microseconds(updated_before)
    for state in FINAL:
        bindings = state_name(state), first_uuid(updated_before), moment, limit - purged
        for (invoice_id,) in connection.execute(_SELECT_TO_PURGE, bindings).fetchall():
            connection.execute("DELETE FROM status_reports WHERE invoice_id = ?", (invoice_id,))
            connection.execute("DELETE FROM sales WHERE invoice_id = ?", (invoice_id,))
            purged += 1
    return purged


def _condition(filter: SaleFilter, *bounds: tuple[str, str | None]) -> tuple[str, tuple[str, ...]]:
    """Return the condition that the filter, and comparisons of the invoice id with bounds, make, and its bindings."""
    # The rarest of the columns leads through its index; a + keeps the others from being chosen instead.
    conditions: list[str] = []
    bindings: list[str] = []
    columns = {
        "client_card_id": filter.client_card_id,
        "consumer_id": filter.consumer_id,
        "state": None if filter.state is None else state_name(filter.state),
        "endpoint_id": filter.endpoint_id,
    }
    for name, value in columns.items():
        if value is not None:
            conditions.append(f"{'+' if conditions else ''}{name} = ?")
            bindings.append(value)
    times = (
        (">=", None if filter.start_time is None else first_uuid(filter.start_time)),
        ("<", None if filter.end_time is None else first_uuid(filter.end_time)),
    )
    for comparison, bound in (*times, *bounds):
        if bound is not None:
            conditions.append(f"invoice_id {comparison} ?")
            bindings.append(bound)
    return (f" WHERE {' AND '.join(conditions)}" if conditions else ""), tuple(bindings)
