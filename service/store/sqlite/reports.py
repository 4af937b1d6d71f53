"""Statements about what was reported of sales."""

from collections.abc import Sequence
from typing import Any

import apsw

from service.store.records import Sale, StatusReport
from service.store.rules import weigh_report
from service.store.sqlite.sales import change_sale, find_sale, require_sale
from service.store.sqlite.tables import STATUS_REPORTS

_SELECT_KNOWN = "SELECT type, status, orderid FROM status_reports WHERE invoice_id = ? ORDER BY rowid"
_SELECT_OF_SALE = f"{STATUS_REPORTS.select} WHERE invoice_id = ? ORDER BY rowid"


def report_status(connection: apsw.Connection, report: StatusReport, *, must_move: bool) -> Sale | None:
    """See `service.store.Store`."""
    sale = require_sale(connection, report.invoice_id)
    known: list[Any] = connection.execute(_SELECT_KNOWN, (report.invoice_id,)).fetchall()
    weighed = weigh_report(sale, known, report, must_move=must_move)
    if weighed.is_stored:
        connection.execute(STATUS_REPORTS.insert, STATUS_REPORTS.row(report))
    for moved in weighed.moves:
        change_sale(connection, moved)
    return weighed.answer


def find_sale_and_reports(connection: apsw.Connection, invoice_id: str) -> tuple[Sale, Sequence[StatusReport]] | None:
    """See `service.store.Store`."""
    with connection:  # both are read from one state of the database
        sale = find_sale(connection, invoice_id)
        rows = connection.execute(_SELECT_OF_SALE, (invoice_id,)).fetchall()
    return None if sale is None else (sale, [STATUS_REPORTS.record(row) for row in rows])
