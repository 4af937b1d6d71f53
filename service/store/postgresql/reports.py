"""Statements about what was reported of sales."""

from collections.abc import Sequence

from service.store.postgresql.database import Connection
from service.store.postgresql.sales import change_sale, find_sale, lock_sale
from service.store.postgresql.tables import STATUS_REPORTS, placeholder
from service.store.records import Sale, StatusReport
from service.store.rules import weigh_report

_INSERT = (
    f"INSERT INTO status_reports ({STATUS_REPORTS.columns}, arrival)"
    f" VALUES ({STATUS_REPORTS.placeholders}, {placeholder(len(STATUS_REPORTS.names) + 1)})"
)
_SELECT_KNOWN = "SELECT type, status, orderid FROM status_reports WHERE invoice_id = $1 ORDER BY arrival"
_SELECT_OF_SALE = f"{STATUS_REPORTS.select} WHERE invoice_id = $1 ORDER BY arrival"


async def report_status(connection: Connection, report: StatusReport, *, must_move: bool) -> Sale | None:
    """See `service.store.Store`."""
    async with connection.transaction():
        sale = await lock_sale(connection, report.invoice_id)
        known = [tuple(row) for row in await connection.fetch(_SELECT_KNOWN, report.invoice_id)]
        weighed = weigh_report(sale, known, report, must_move=must_move)
        if weighed.is_stored:
            await connection.execute(_INSERT, *STATUS_REPORTS.row(report), len(known) + 1)
        for moved in weighed.moves:
            await change_sale(connection, moved)
    return weighed.answer


async def find_sale_and_reports(connection: Connection, invoice_id: str) -> tuple[Sale, Sequence[StatusReport]] | None:
    """See `service.store.Store`."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        sale = await find_sale(connection, invoice_id)
        rows = await connection.fetch(_SELECT_OF_SALE, invoice_id)
    return None if sale is None else (sale, [STATUS_REPORTS.record(row) for row in rows])
