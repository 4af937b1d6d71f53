"""Statements about sales."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import apsw

from service.errors import ErrorReason, SaleError
from service.identifiers import first_uuid, microseconds
from service.sale_states import FINAL, state_name
from service.store import IdentifierTaken
from service.store.records import Charge, IdempotencyRecord, LimitReached, PurgeStep, Sale, SaleFilter, SalePage
from service.store.rules import weigh_charges
from service.store.sale_lists import SaleList
from service.store.sqlite.idempotency_records import find_record, put_record
from service.store.sqlite.limit_uses import find_end_times, put_end_times
from service.store.sqlite.tables import SALES, changing_values, placeholder
from service.store.tables import CHANGING

_INSERT_SALE = f"{SALES.insert} ON CONFLICT DO NOTHING RETURNING 1"
_SELECT_SALE = f"{SALES.select} WHERE invoice_id = ?"
_SELECT_OWN_SALE = f"{_SELECT_SALE} AND access_token_hash = ? AND serial_number = ?"
_EXISTS_SALE = "SELECT EXISTS (SELECT 1 FROM sales WHERE invoice_id = ?)"
_SELECT_BY_SESSION = (
    f"{SALES.select} WHERE session_token = ? AND access_token_hash = ? AND serial_number = ?"
    " ORDER BY invoice_id DESC LIMIT 1"
)
_SELECT_INVOICES = "SELECT invoice_id FROM sales WHERE session_token = ? LIMIT ?"
_BIND_CHECK = (
    "UPDATE sales SET state = 'CHECKED', session_token = ?2, check_time = ?4, check_card_id = ?3, client_card_id = ?3,"
    f" update_time = max(update_time, ?4) WHERE invoice_id = ?1 AND state = 'INITIATED' RETURNING {SALES.columns}"
)
_UPDATE_SALE = f"UPDATE sales SET {', '.join(f'{name} = ?' for name in CHANGING)} WHERE invoice_id = ?"
_COUNT_FAILURE = "UPDATE sales SET random_sum_failures = random_sum_failures + ? WHERE invoice_id = ?"
_EXPIRE = (
    "UPDATE sales SET state = 'EXPIRED', update_time = max(update_time, ?1) WHERE invoice_id IN"
    " (SELECT invoice_id FROM (SELECT invoice_id, expire_time FROM sales WHERE state = 'INITIATED'"
    " ORDER BY invoice_id LIMIT ?2) WHERE expire_time <= ?1)"
)
_SELECT_OLD = (
    "SELECT invoice_id, state, update_time FROM sales WHERE invoice_id > ? AND invoice_id < ?"
    " ORDER BY invoice_id LIMIT ?"
)
_FINAL_NAMES = frozenset(map(state_name, FINAL))


def open_session(
    connection: apsw.Connection, sale: Sale, record: IdempotencyRecord | None, charges: Sequence[Charge]
) -> IdempotencyRecord | LimitReached | None:
    """See `service.store.Store`."""
    if record is not None:
        earlier = find_record(connection, record.access_token_hash, record.idempotency_key, sale.initiate_time)
        if earlier is not None:
            return earlier
    if charges:
        outcome = weigh_charges(charges, find_end_times(connection, charges), sale.initiate_time)
        if isinstance(outcome, LimitReached):
            return outcome
        put_end_times(connection, outcome)
    if connection.execute(_INSERT_SALE, SALES.row(sale)).get is None:
        raise IdentifierTaken
    if record is not None:
        put_record(connection, record)
    return None


def find_sale(connection: apsw.Connection, invoice_id: str) -> Sale | None:
    """See `service.store.Store`."""
    row = connection.execute(_SELECT_SALE, (invoice_id,)).fetchone()
    return None if row is None else SALES.record(row)


def find_own_sale(
    connection: apsw.Connection, invoice_id: str, access_token_hash: bytes, serial_number: str
) -> Sale | None:
    """See `service.store.Store`."""
    row = connection.execute(_SELECT_OWN_SALE, (invoice_id, access_token_hash, serial_number)).fetchone()
    return None if row is None else SALES.record(row)


def has_sale(connection: apsw.Connection, invoice_id: str) -> bool:
    """See `service.store.Store`."""
    return bool(connection.execute(_EXISTS_SALE, (invoice_id,)).get)


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


def find_invoices_of_session(connection: apsw.Connection, session_token: str, limit: int) -> Sequence[str]:
    """See `service.store.Store`."""
    return [str(row[0]) for row in connection.execute(_SELECT_INVOICES, (session_token, limit))]


def list_sales(
    connection: apsw.Connection, filter: SaleFilter, beyond: str | None, limit: int, *, oldest_first: bool
) -> SalePage:
    """See `service.store.Store`."""
    list_ = SaleList(SALES.columns, filter, beyond, oldest_first=oldest_first, placeholder=placeholder)
    with connection:  # both are read from one state of the database
        rows = connection.execute(*list_.page(limit)).fetchall()
        end = connection.execute(*list_.end()).get if list_.may_go_on(len(rows), limit) else None
    sales = [SALES.record(row) for row in rows]
    return SalePage(sales, sales[-1].invoice_id if len(sales) == limit else end)


def count_sales(connection: apsw.Connection, filter: SaleFilter) -> int:
    """See `service.store.Store`."""
    count: int = connection.execute(*SaleList(SALES.columns, filter, placeholder=placeholder).count()).get
    return count


def bind_check(
    connection: apsw.Connection, invoice_id: str, session_token: str, client_card_id: str | None, now: datetime
) -> Sale:
    """See `service.store.Store`."""
    row = connection.execute(_BIND_CHECK, (invoice_id, session_token, client_card_id, microseconds(now))).fetchone()
    return require_sale(connection, invoice_id) if row is None else SALES.record(row)


def change_sale(connection: apsw.Connection, sale: Sale) -> None:
    """Store what of a sale has changed: columns that `CHANGING` names. A trigger keeps that it has."""
    connection.execute(_UPDATE_SALE, (*changing_values(sale), sale.invoice_id))


def count_random_sum_answer(connection: apsw.Connection, invoice_id: str, *, failed: bool) -> int:
    """See `service.store.Store`."""
    sale = require_sale(connection, invoice_id)
    connection.execute(_COUNT_FAILURE, (int(failed), invoice_id))
    return sale.random_sum_failures


def expire_sessions(connection: apsw.Connection, now: datetime, limit: int) -> int:
    """See `service.store.Store`."""
    connection.execute(_EXPIRE, (microseconds(now), limit))
    return connection.changes()


def purge_sales(connection: apsw.Connection, updated_before: datetime, beyond: str, limit: int) -> PurgeStep:
    """See `service.store.Store`."""
    rows: list[Any] = connection.execute(_SELECT_OLD, (beyond, first_uuid(updated_before), limit)).fetchall()
    final = [(invoice_id, update_time) for invoice_id, state, update_time in rows if state in _FINAL_NAMES]
    old = [invoice_id for invoice_id, update_time in final if update_time < microseconds(updated_before)]
    for invoice_id in old:
        connection.execute("DELETE FROM sale_events WHERE invoice_id = ?", (invoice_id,))
        connection.execute("DELETE FROM status_reports WHERE invoice_id = ?", (invoice_id,))
        connection.execute("DELETE FROM sales WHERE invoice_id = ?", (invoice_id,))
    return PurgeStep(len(old), rows[-1][0] if len(rows) == limit else None, len(old) < len(final))
