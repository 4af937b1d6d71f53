"""Statements about sales."""

from dataclasses import replace
from datetime import datetime

import apsw

from service.errors import ErrorReason, SaleError
from service.identifiers import first_uuid, microseconds
from service.sale_states import FINAL, SaleState
from service.store import IdentifierTaken
from service.store.records import IdempotencyRecord, Sale, SaleFilter, SalePage
from service.store.sqlite.idempotency_records import find_record, put_record
from service.store.sqlite.tables import CHANGING, SALES, state_name

_INSERT_SALE = f"{SALES.insert} ON CONFLICT DO NOTHING RETURNING 1"
_SELECT_SALE = f"{SALES.select} WHERE invoice_id = ?"
_SELECT_BY_SESSION = (
    f"{SALES.select} WHERE session_token = ? AND access_token_hash = ? AND serial_number = ?"
    " ORDER BY invoice_id DESC LIMIT 1"
)
_EXISTS_SESSION_TOKEN = "SELECT EXISTS (SELECT 1 FROM sales WHERE session_token = ?)"
_BIND_CHECK = (
    "UPDATE sales SET state = 'CHECKED', session_token = ?, check_time = ?, client_card_id = ?, update_time = ?"
    f" WHERE invoice_id = ? AND state = 'INITIATED' RETURNING {SALES.columns}"
)
_UPDATE_SALE = (
    f"UPDATE sales SET session_token = ?, {', '.join(f'{name} = ?' for name in CHANGING)} WHERE invoice_id = ?"
)
_COUNT_FAILURE = "UPDATE sales SET random_sum_failures = random_sum_failures + ? WHERE invoice_id = ?"
_SELECT_EXPIRED = (
    "SELECT invoice_id FROM (SELECT invoice_id, expire_time FROM sales WHERE state = 'INITIATED'"
    " ORDER BY invoice_id LIMIT ?2) WHERE expire_time <= ?1"
)
_SELECT_TO_PURGE = (
    "SELECT invoice_id FROM sales WHERE state = ? AND state <> 'INITIATED' AND invoice_id < ? AND update_time < ?"
    " ORDER BY invoice_id LIMIT ?"
)
_LOOK = 5000
"""How many rows are looked at for one page: some milliseconds, in which nothing else is answered."""


def open_session(connection: apsw.Connection, sale: Sale, record: IdempotencyRecord | None) -> IdempotencyRecord | None:
    """See `service.store.Store`."""
    if record is not None:
        earlier = find_record(connection, record.access_token_hash, record.idempotency_key, sale.initiate_time)
        if earlier is not None:
            return earlier
    if connection.execute(_INSERT_SALE, SALES.row(sale)).get is None:
        raise IdentifierTaken
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
) -> SalePage:
    """See `service.store.Store`."""
    comparison, order = (">", "ASC") if oldest_first else ("<", "DESC")
    leading, others, bindings = _conditions(filter, (comparison, beyond))
    looked_at = f"FROM sales WHERE {leading} ORDER BY invoice_id {order} LIMIT"
    rows = connection.execute(
        f"SELECT * FROM (SELECT {SALES.columns} {looked_at} {_LOOK}) WHERE {others} LIMIT ?", (*bindings, limit)
    ).fetchall()
    sales = [SALES.record(row) for row in rows]
    if len(sales) == limit:
        return SalePage(sales, sales[-1].invoice_id)
    end = connection.execute(f"SELECT invoice_id {looked_at} 1 OFFSET {_LOOK - 1}", bindings[: leading.count("?")]).get
    return SalePage(sales, end)


def count_sales(connection: apsw.Connection, filter: SaleFilter) -> int:
    """See `service.store.Store`."""
    leading, others, bindings = _conditions(filter)
    count: int = connection.execute(f"SELECT count(*) FROM sales WHERE {leading} AND {others}", bindings).get
    return count


def bind_check(
    connection: apsw.Connection, invoice_id: str, session_token: str, client_card_id: str | None, now: datetime
) -> Sale:
    """See `service.store.Store`."""
    moment = microseconds(now)
    row = connection.execute(_BIND_CHECK, (session_token, moment, client_card_id, moment, invoice_id)).fetchone()
    return require_sale(connection, invoice_id) if row is None else SALES.record(row)


def change_sale(connection: apsw.Connection, sale: Sale) -> None:
    """Store what has changed of a sale; a trigger keeps that it has."""
    values = SALES.row(sale)
    changing = [values[SALES.names.index(name)] for name in CHANGING]
    connection.execute(_UPDATE_SALE, (sale.session_token, *changing, sale.invoice_id))


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


def _conditions(filter: SaleFilter, *bounds: tuple[str, str | None]) -> tuple[str, str, tuple[str, ...]]:
    """Return what an index serves of a filter and of comparisons with the invoice id, the rest, and their bindings."""
    times = (
        (">=", None if filter.start_time is None else first_uuid(filter.start_time)),
        ("<", None if filter.end_time is None else first_uuid(filter.end_time)),
    )
    leading = [(f"invoice_id {comparison} ?", bound) for comparison, bound in (*times, *bounds) if bound is not None]
    columns = {
        "client_card_id": filter.client_card_id,
        "consumer_id": filter.consumer_id,
        "state": None if filter.state is None else state_name(filter.state),
        "endpoint_id": filter.endpoint_id,
    }
    others = [(f"{name} = ?", value) for name, value in columns.items() if value is not None]
    fixed = []
    if filter.client_card_id is not None or filter.consumer_id is not None:
        leading.insert(0, others.pop(0))
    elif filter.state is not None:
        # An index of some states only is found by the words that it was made with.
        initiated = filter.state == SaleState.SALE_STATE_INITIATED
        fixed.append("state = 'INITIATED'" if initiated else "state <> 'INITIATED'")
        if not initiated:
            leading.insert(0, others.pop(0))
    return (
        " AND ".join([*fixed, *(condition for condition, _ in leading)]) or "TRUE",
        " AND ".join(condition for condition, _ in others) or "TRUE",
        tuple(value for _, value in (*leading, *others)),
    )
