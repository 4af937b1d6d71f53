"""Statements about sales."""

from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

import apsw

from service.errors import ErrorReason, SaleError
from service.identifiers import first_uuid, microseconds
from service.sale_states import FINAL, SaleState, state_name
from service.store import IdentifierTaken
from service.store.records import IdempotencyRecord, PurgeStep, Sale, SaleFilter, SalePage
from service.store.sqlite.idempotency_records import find_record, put_record
from service.store.sqlite.tables import CHANGING, SALES, changing_values

_INSERT_SALE = f"{SALES.insert} ON CONFLICT DO NOTHING RETURNING 1"
_SELECT_SALE = f"{SALES.select} WHERE invoice_id = ?"
_SELECT_BY_SESSION = (
    f"{SALES.select} WHERE session_token = ? AND access_token_hash = ? AND serial_number = ?"
    " ORDER BY invoice_id DESC LIMIT 1"
)
_EXISTS_SESSION_TOKEN = "SELECT EXISTS (SELECT 1 FROM sales WHERE session_token = ?)"
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
    order = "ASC" if oldest_first else "DESC"
    served, rest = _conditions(filter, beyond, oldest_first=oldest_first)
    looked_at = f"FROM sales WHERE {served.text} ORDER BY invoice_id {order} LIMIT"
    with connection:  # both are read from one state of the database
        rows = connection.execute(
            f"SELECT * FROM (SELECT {SALES.columns} {looked_at} {_LOOK}) WHERE {rest.text} LIMIT ?",
            (*served.bindings, *rest.bindings, limit),
        ).fetchall()
        end = None
        is_end = not rest.bindings and len(rows) < min(limit, _LOOK)  # nothing that was looked at was left out
        if len(rows) < limit and not is_end:
            end = connection.execute(f"SELECT invoice_id {looked_at} 1 OFFSET {_LOOK - 1}", served.bindings).get
    sales = [SALES.record(row) for row in rows]
    return SalePage(sales, sales[-1].invoice_id if len(sales) == limit else end)


def count_sales(connection: apsw.Connection, filter: SaleFilter) -> int:
    """See `service.store.Store`."""
    served, rest = _conditions(filter, None, oldest_first=False)
    statement = f"SELECT count(*) FROM sales WHERE {served.text} AND {rest.text}"
    count: int = connection.execute(statement, (*served.bindings, *rest.bindings)).get
    return count


def bind_check(
    connection: apsw.Connection, invoice_id: str, session_token: str, client_card_id: str | None, now: datetime
) -> Sale:
    """See `service.store.Store`."""
    row = connection.execute(_BIND_CHECK, (invoice_id, session_token, client_card_id, microseconds(now))).fetchone()
    return require_sale(connection, invoice_id) if row is None else SALES.record(row)


def change_sale(connection: apsw.Connection, sale: Sale, now: datetime, **changes: Any) -> Sale:
    """Store a change of a sale; a trigger keeps that it has changed.

    Args:
        connection: within a transaction.
        sale: the sale as it was.
        now: when it changed; never before it did the last time, whatever the clock says.
        changes: the fields that have changed; of those that `CHANGING` names.

    Returns:
        The sale as it is now.
    """
    changed = replace(sale, **changes, update_time=max(sale.update_time, now))
    connection.execute(_UPDATE_SALE, (*changing_values(SALES.row(changed)), sale.invoice_id))
    return changed


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
        connection.execute("DELETE FROM status_reports WHERE invoice_id = ?", (invoice_id,))
        connection.execute("DELETE FROM sales WHERE invoice_id = ?", (invoice_id,))
    return PurgeStep(len(old), rows[-1][0] if len(rows) == limit else None, len(old) < len(final))


class _Condition(NamedTuple):
    text: str
    bindings: tuple[str, ...]


def _conditions(filter: SaleFilter, beyond: str | None, *, oldest_first: bool) -> tuple[_Condition, _Condition]:
    """Return what one index serves of a filter and of going on after an invoice id, and the rest."""
    rest = [
        (f"{name} = ?", value)
        for name, value in (
            ("client_card_id", filter.client_card_id),
            ("consumer_id", filter.consumer_id),
            ("state", None if filter.state is None else state_name(filter.state)),
            ("endpoint_id", filter.endpoint_id),
        )
        if value is not None
    ]
    served: list[tuple[str, str]] = []
    words = "TRUE"
    if filter.client_card_id is not None or filter.consumer_id is not None:
        served.append(rest.pop(0))
    elif filter.state == SaleState.SALE_STATE_INITIATED:
        words = "state = 'INITIATED'"  # an index of some states only is found by the words that it was made with
        rest.pop(0)
    elif filter.state is not None:
        words = "state <> 'INITIATED'"
        served.append(rest.pop(0))
    # Of two bounds on one side SQLite would look up one, and go through all that is between them. No invoice id is the
    # one that a moment begins with, for its last digit is a letter.
    lower = [
        *([] if filter.start_time is None else [first_uuid(filter.start_time)]),
        *([beyond] if oldest_first and beyond is not None else []),
    ]
    upper = [
        *([] if filter.end_time is None else [first_uuid(filter.end_time)]),
        *([beyond] if not oldest_first and beyond is not None else []),
    ]
    served += [("invoice_id > ?", max(lower))] if lower else []
    served += [("invoice_id < ?", min(upper))] if upper else []
    return _joined(served, words), _joined(rest, "TRUE")


def _joined(conditions: list[tuple[str, str]], words: str) -> _Condition:
    texts, bindings = [text for text, _ in conditions], tuple(value for _, value in conditions)
    return _Condition(" AND ".join([words, *texts]), bindings)
