"""Statements about what was reported of sales."""

from collections.abc import Sequence
from dataclasses import replace

import apsw

from service.sale_states import is_known, legal_moves_of
from service.store import MAX_OTHER_REPORTS
from service.store.records import Sale, StatusReport
from service.store.sqlite.sales import change_sale, require_sale
from service.store.sqlite.tables import STATUS_REPORTS

_INSERT = f"{STATUS_REPORTS.insert} ON CONFLICT DO NOTHING RETURNING 1"
_DELETE = "DELETE FROM status_reports WHERE invoice_id = ? AND type = ? AND status = ? AND orderid = ?"
_SELECT_OF_SALE = f"{STATUS_REPORTS.select} WHERE invoice_id = ? ORDER BY rowid"


def report_status(connection: apsw.Connection, report: StatusReport, *, must_move: bool) -> Sale | None:
    """See `service.store.Store`."""
    sale = require_sale(connection, report.invoice_id)
    if connection.execute(_INSERT, STATUS_REPORTS.row(report)).get is None:
        return sale
    words = [(known.type, known.status) for known in list_status_reports(connection, report.invoice_id)]
    states = list(legal_moves_of(sale.state, words))
    if _is_one_too_many(report, words) or (must_move and not states):
        connection.execute(_DELETE, (report.invoice_id, report.type, report.status, report.orderid))
        return None
    if not is_known(report.type, report.status):
        return sale
    reported = replace(
        sale,
        orderid=sale.orderid or report.orderid or None,
        amount_differs=sale.amount_differs or report.amount_differs,
    )
    for state in states:
        reported = replace(reported, state=state, update_time=report.receive_time)
        change_sale(connection, reported)
    if not states and reported != sale:
        reported = replace(reported, update_time=report.receive_time)
        change_sale(connection, reported)
    return reported


def list_status_reports(connection: apsw.Connection, invoice_id: str) -> Sequence[StatusReport]:
    """See `service.store.Store`."""
    return [STATUS_REPORTS.record(row) for row in connection.execute(_SELECT_OF_SALE, (invoice_id,))]


def _is_one_too_many(report: StatusReport, words: Sequence[tuple[str, str]]) -> bool:
    if is_known(report.type, report.status):
        return False
    return sum(not is_known(*each) for each in words) > MAX_OTHER_REPORTS
