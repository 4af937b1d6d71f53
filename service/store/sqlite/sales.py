"""Statements about sales, what was reported of them, and their changes."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import apsw

from service.identifiers import first_uuid, microseconds
from service.sale_states import FINAL, SaleState, legal_moves_of
from service.store import IdentifierTaken, PositionUnknown
from service.store.records import IdempotencyRecord, Sale, SaleChange, SaleFilter, StatusReport
from service.store.sqlite.idempotency_records import find_record, put_record
from service.store.sqlite.tables import (
    CHANGING,
    SALES,
    SELECT_CHANGES,
    STATUS_REPORTS,
    change_of,
    state_name,
)

_INSERT_SALE = f"{SALES.insert} ON CONFLICT DO NOTHING RETURNING 1"
_SELECT_SALE = f"{SALES.select} WHERE invoice_id = ?"
_SELECT_BY_SESSION_TOKEN = f"{SALES.select} WHERE session_token = ? ORDER BY invoice_id DESC"
_UPDATE_SALE = (
    f"UPDATE sales SET session_token = ?, {', '.join(f'{name} = ?' for name in CHANGING)} WHERE invoice_id = ?"
)
_INSERT_CHANGE = (
    f"INSERT INTO sale_changes (invoice_id, {', '.join(CHANGING)})"
    f" SELECT invoice_id, {', '.join(CHANGING)} FROM sales WHERE invoice_id = ?"
)
_SELECT_CHANGES_AFTER = f"{SELECT_CHANGES} WHERE change.position > ? ORDER BY change.position LIMIT ?"
_SELECT_POSITIONS = "SELECT position, (SELECT coalesce(max(position), 0) FROM sale_changes) FROM purged_changes"
_SELECT_POSITION_BEFORE = "SELECT position FROM sale_changes WHERE update_time < ? ORDER BY position DESC LIMIT 1"
_INSERT_REPORT = f"{STATUS_REPORTS.insert} ON CONFLICT DO NOTHING RETURNING 1"
_DELETE_REPORT = "DELETE FROM status_reports WHERE invoice_id = ? AND type = ? AND status = ? AND orderid = ?"
_SELECT_REPORTS = f"{STATUS_REPORTS.select} WHERE invoice_id = ? ORDER BY rowid"
_COUNT_FAILURE = "UPDATE sales SET random_sum_failures = random_sum_failures + ? WHERE invoice_id = ?"
_SELECT_EXPIRED = "SELECT invoice_id FROM sales WHERE state = 'INITIATED' AND expire_time <= ? LIMIT ?"
_SELECT_TO_PURGE = (
    "SELECT invoice_id FROM sales WHERE state = ? AND invoice_id < ? AND update_time < ? ORDER BY invoice_id LIMIT ?"
)
_NOTE_PURGED = (
    "UPDATE purged_changes SET position = max(position, (SELECT max(position) FROM sale_changes WHERE invoice_id = ?))"
)
_DELETE_CHANGES = (
    "DELETE FROM sale_changes WHERE invoice_id = ? AND position < (SELECT max(position) FROM sale_changes)"
)


def open_session(connection: apsw.Connection, sale: Sale, record: IdempotencyRecord | None) -> IdempotencyRecord | None:
    """See `service.store.Store`."""
    if record is not None:
        earlier = find_record(connection, record.access_token_hash, record.idempotency_key, sale.initiate_time)
        if earlier is not None:
            return earlier
    if connection.execute(_INSERT_SALE, SALES.row(sale)).get is None:
        raise IdentifierTaken
    connection.execute(_INSERT_CHANGE, (sale.invoice_id,))
    if record is not None:
        put_record(connection, record)
    return None


def find_sale(connection: apsw.Connection, invoice_id: str) -> Sale | None:
    """See `service.store.Store`."""
    row = connection.execute(_SELECT_SALE, (invoice_id,)).fetchone()
    return None if row is None else SALES.record(row)


def require_sale(connection: apsw.Connection, invoice_id: str) -> Sale:
    """Return a sale that is stored.

    Raises:
        LookupError: it is not.
    """
    sale = find_sale(connection, invoice_id)
    if sale is None:
        raise LookupError("a sale that was stored is not there any more")
    return sale


def find_sales_by_session_token(connection: apsw.Connection, session_token: str) -> Sequence[Sale]:
    """See `service.store.Store`."""
    return [SALES.record(row) for row in connection.execute(_SELECT_BY_SESSION_TOKEN, (session_token,))]


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
    values = SALES.row(sale)
    changing = [values[SALES.names.index(name)] for name in CHANGING]
    connection.execute(_UPDATE_SALE, (sale.session_token, *changing, sale.invoice_id))
    connection.execute(_INSERT_CHANGE, (sale.invoice_id,))


def report_status(connection: apsw.Connection, report: StatusReport, *, must_move: bool) -> Sale | None:
    """See `service.store.Store`."""
    sale = require_sale(connection, report.invoice_id)
    if connection.execute(_INSERT_REPORT, STATUS_REPORTS.row(report)).get is None:
        return sale
    reports = list_status_reports(connection, report.invoice_id)
    states = list(legal_moves_of(sale.state, ((known.type, known.status) for known in reports)))
    if must_move and not states:
        connection.execute(_DELETE_REPORT, (report.invoice_id, report.type, report.status, report.orderid))
        return None
    reported = replace(
        sale,
        orderid=sale.orderid or report.orderid or None,
        amount_differs=sale.amount_differs or report.amount_differs,
        update_time=report.receive_time,
    )
    for state in states:
        reported = replace(reported, state=state)
        change_sale(connection, reported)
    if not states:
        if replace(reported, update_time=sale.update_time) == sale:
            return sale
        change_sale(connection, reported)
    return reported


def list_status_reports(connection: apsw.Connection, invoice_id: str) -> Sequence[StatusReport]:
    """See `service.store.Store`."""
    return [STATUS_REPORTS.record(row) for row in connection.execute(_SELECT_REPORTS, (invoice_id,))]


def count_random_sum_answer(connection: apsw.Connection, invoice_id: str, *, failed: bool) -> int:
    """See `service.store.Store`."""
    sale = require_sale(connection, invoice_id)
    connection.execute(_COUNT_FAILURE, (int(failed), invoice_id))
    return sale.random_sum_failures


def list_changes(connection: apsw.Connection, after: int, limit: int) -> Sequence[SaleChange]:
    """See `service.store.Store`."""
    with connection:  # both are read from one state of the database
        purged, last = connection.execute(_SELECT_POSITIONS).get
        rows = connection.execute(_SELECT_CHANGES_AFTER, (after, limit)).fetchall()
    if after and not purged <= after <= last:
        raise PositionUnknown
    return [change_of(row) for row in rows]


def position_before(connection: apsw.Connection, moment: datetime) -> int:
    """See `service.store.Store`."""
    position: int | None = connection.execute(_SELECT_POSITION_BEFORE, (microseconds(moment),)).get
    return position or 0


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
            connection.execute(_NOTE_PURGED, (invoice_id,))
            connection.execute(_DELETE_CHANGES, (invoice_id,))
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
