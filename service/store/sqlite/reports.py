"""Statements about what was reported of sales."""

from collections.abc import Sequence
from typing import Any

import apsw

from service.sale_states import has_got_to, is_known, is_state_of, legal_moves_of
from service.store import MAX_OTHER_REPORTS
from service.store.records import Sale, StatusReport
from service.store.sqlite.sales import change_sale, find_sale, require_sale
from service.store.sqlite.tables import STATUS_REPORTS

_INSERT = f"{STATUS_REPORTS.insert} ON CONFLICT DO NOTHING RETURNING 1"
_DELETE = "DELETE FROM status_reports WHERE invoice_id = ? AND type = ? AND status = ? AND orderid = ?"
_SELECT_WORDS = "SELECT type, status FROM status_reports WHERE invoice_id = ? ORDER BY rowid"
_SELECT_OF_SALE = f"{STATUS_REPORTS.select} WHERE invoice_id = ? ORDER BY rowid"


def report_status(connection: apsw.Connection, report: StatusReport, *, must_move: bool) -> Sale | None:
    """See `service.store.Store`."""
    sale = require_sale(connection, report.invoice_id)
    if connection.execute(_INSERT, STATUS_REPORTS.row(report)).get is None:
        return sale if not must_move or has_got_to(sale.state, report.type, report.status) else None
    words: list[Any] = connection.execute(_SELECT_WORDS, (report.invoice_id,)).fetchall()
    states = list(legal_moves_of(sale.state, words))
    cannot_move = must_move and not states and not is_state_of(sale.state, report.type, report.status)
    if _is_one_too_many(report, words) or cannot_move:
        connection.execute(_DELETE, (report.invoice_id, report.type, report.status, report.orderid))
        return None
    if not is_known(report.type, report.status):
        return sale
    told = {
        "orderid": sale.orderid or report.orderid or None,
        "amount_differs": sale.amount_differs or report.amount_differs,
    }
    if not states and told != {"orderid": sale.orderid, "amount_differs": sale.amount_differs}:
        states = [sale.state]
    for state in states:
        sale = change_sale(connection, sale, report.receive_time, state=state, **told)
    return sale


def find_sale_and_reports(connection: apsw.Connection, invoice_id: str) -> tuple[Sale, Sequence[StatusReport]] | None:
    """See `service.store.Store`."""
    with connection:  # both are read from one state of the database
        sale = find_sale(connection, invoice_id)
        rows = connection.execute(_SELECT_OF_SALE, (invoice_id,)).fetchall()
    return None if sale is None else (sale, [STATUS_REPORTS.record(row) for row in rows])


def _is_one_too_many(report: StatusReport, words: Sequence[tuple[str, str]]) -> bool:
    if is_known(report.type, report.status):
        return False
    return sum(not is_known(*each) for each in words) > MAX_OTHER_REPORTS
