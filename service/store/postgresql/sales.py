"""Statements about sales."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg

from service.errors import ErrorReason, SaleError
from service.identifiers import first_uuid
from service.sale_states import FINAL, state_name
from service.store import IdentifierTaken
from service.store.postgresql.database import Connection
from service.store.postgresql.idempotency_records import claim_key
from service.store.postgresql.tables import (
    IDEMPOTENCY_RECORDS,
    NEXT_CHANGE_TIME,
    SALES,
    changing_values,
    placeholder,
    recorded,
    typed_placeholders,
)
from service.store.records import Charge, IdempotencyRecord, PurgeStep, Sale, SaleFilter, SalePage
from service.store.sale_lists import SaleList
from service.store.tables import CHANGING

_NO_RECORD = (None,) * len(IDEMPOTENCY_RECORDS.names)
_FIRST_OF_RECORD = len(SALES.names) + 1
_KEY = placeholder(_FIRST_OF_RECORD + IDEMPOTENCY_RECORDS.names.index("idempotency_key"))
_OPEN = recorded(
    f"INSERT INTO sales ({SALES.columns}) SELECT {typed_placeholders(SALES.types)}"
    f" WHERE {_KEY}::text IS NULL OR EXISTS (SELECT FROM claimed)",
    f"claimed AS (INSERT INTO idempotency_records ({IDEMPOTENCY_RECORDS.columns})"
    f" SELECT {typed_placeholders(IDEMPOTENCY_RECORDS.types, _FIRST_OF_RECORD)} WHERE {_KEY}::text IS NOT NULL"
    " ON CONFLICT DO NOTHING RETURNING 1)",
    returning="invoice_id",
)
_SELECT_SALE = f"{SALES.select} WHERE invoice_id = $1"
_SELECT_SALES = f"{SALES.select} WHERE invoice_id = ANY ($1::text[])"
_SELECT_OWN_SALE = f"{_SELECT_SALE} AND access_token_hash = $2 AND serial_number = $3"
_EXISTS_SALE = "SELECT EXISTS (SELECT FROM sales WHERE invoice_id = $1)"
_SELECT_BY_SESSION = (
    f"{SALES.select} WHERE session_token = $1 AND access_token_hash = $2 AND serial_number = $3"
    " ORDER BY invoice_id DESC LIMIT 1"
)
_SELECT_INVOICES = "SELECT invoice_id FROM sales WHERE session_token = $1 LIMIT $2"
_BIND_CHECK = (
    "UPDATE sales SET state = 'CHECKED', session_token = $2, check_time = $4, check_card_id = $3, client_card_id = $3,"
    f" update_time = greatest(update_time, $4), {NEXT_CHANGE_TIME} WHERE state = 'INITIATED' AND invoice_id ="
)
_BIND_CHECK_NOW = recorded(f"{_BIND_CHECK} $1")
_BIND_CHECK_IF_FREE = recorded(
    f"{_BIND_CHECK} (SELECT invoice_id FROM sales WHERE invoice_id = $1 FOR NO KEY UPDATE SKIP LOCKED)"
)
_UPDATE_SALE = recorded(
    f"UPDATE sales SET {', '.join(f'{name} = {placeholder(n)}' for n, name in enumerate(CHANGING, start=1))},"
    f" {NEXT_CHANGE_TIME} WHERE invoice_id = {placeholder(len(CHANGING) + 1)}",
    returning="invoice_id",
)
_COUNT_FAILURE = (
    "UPDATE sales SET random_sum_failures = random_sum_failures + $2 WHERE invoice_id = $1"
    " RETURNING random_sum_failures - $2"
)
# Of several nodes that do this at the same time each takes other sales.
_EXPIRE = recorded(
    f"UPDATE sales SET state = 'EXPIRED', update_time = greatest(update_time, $1), {NEXT_CHANGE_TIME} FROM due"
    " WHERE sales.invoice_id = due.invoice_id",
    "oldest AS (SELECT invoice_id, expire_time FROM sales WHERE state = 'INITIATED' ORDER BY invoice_id LIMIT $2)",
    "due AS (SELECT invoice_id FROM sales WHERE invoice_id IN (SELECT invoice_id FROM oldest WHERE expire_time <= $1)"
    " AND state = 'INITIATED' ORDER BY invoice_id FOR NO KEY UPDATE SKIP LOCKED)",
    returning="invoice_id",
)
_SELECT_OLD = (
    "SELECT invoice_id, state = ANY ($4::text[]) AS is_final, update_time < $3 AS is_old FROM sales"
    " WHERE invoice_id > $1 AND invoice_id < $2 ORDER BY invoice_id LIMIT $5"
)
_DELETE_OLD = (
    "DELETE FROM sales WHERE invoice_id = ANY ($1::text[]) AND update_time < $2 AND state = ANY ($3::text[])"
    " RETURNING invoice_id"
)
_DELETE_REPORTS = "DELETE FROM status_reports WHERE invoice_id = ANY ($1::text[])"
_DELETE_EVENTS = "DELETE FROM sale_events WHERE invoice_id = ANY ($1::text[])"
_FINAL_NAMES = sorted(map(state_name, FINAL))


class NewSession(NamedTuple):
    """What `Store.open_session` is given."""

    sale: Sale
    record: IdempotencyRecord | None
    charges: Sequence[Charge] = ()


class NewCheck(NamedTuple):
    """What `Store.bind_check` is given."""

    invoice_id: str
    session_token: str
    client_card_id: str | None
    now: datetime


async def open_new_sessions(connection: Connection, sessions: Sequence[NewSession]) -> set[str]:
    """Store those of some sessions whose keys are new, all in one transaction.

    Returns:
        The invoice ids of those that were stored: none, if an identifier of one is taken.
    """
    rows = [
        (*SALES.row(sale), *(_NO_RECORD if record is None else IDEMPOTENCY_RECORDS.row(record)))
        for sale, record, _ in sorted(sessions, key=lock_order)
    ]
    try:
        return {row["invoice_id"] for row in await connection.fetchmany(_OPEN, rows)}
    except asyncpg.UniqueViolationError:
        return set()


async def open_session(connection: Connection, session: NewSession) -> IdempotencyRecord | None:
    """See `service.store.Store`; a session that is stored already is a success."""
    sale, record, _ = session
    try:
        async with connection.transaction():
            if record is not None:
                earlier = await claim_key(connection, record, sale.initiate_time)
                if earlier is not None:
                    return None if earlier.invoice_id == sale.invoice_id else earlier
            await connection.execute(_OPEN, *SALES.row(sale), *_NO_RECORD)
    except asyncpg.UniqueViolationError:
        stored = await find_sale(connection, sale.invoice_id)
        if stored is None or not is_same_session(stored, sale):
            raise IdentifierTaken from None
    return None


def is_same_session(stored: Sale, sale: Sale) -> bool:
    """Tell whether a sale with this invoice id that is stored is this one, of an earlier try."""
    return (stored.nonce, stored.signature) == (sale.nonce, sale.signature)


async def insert_sales(connection: Connection, sales: Sequence[Sale]) -> None:
    """Store new sales within a transaction.

    Raises:
        asyncpg.UniqueViolationError: an identifier of one is taken.
    """
    await connection.executemany(_OPEN, [(*SALES.row(sale), *_NO_RECORD) for sale in sales])


def lock_order(session: NewSession) -> tuple[bytes, str]:
    """Return where a session has its place among those of a transaction.

    Of two transactions that wait for each other one would have to be given up.
    """
    record = session.record
    return (b"", "") if record is None else (record.access_token_hash, record.idempotency_key)


async def find_sale(connection: Connection, invoice_id: str) -> Sale | None:
    """See `service.store.Store`."""
    row = await connection.fetchrow(_SELECT_SALE, invoice_id)
    return None if row is None else SALES.record(row)


async def find_sales(connection: Connection, invoice_ids: Sequence[str]) -> Sequence[Sale | None]:
    """Return the sales with these invoice ids, in their order; None for one that there is not."""
    rows = await connection.fetch(_SELECT_SALES, list(set(invoice_ids)))
    found = {sale.invoice_id: sale for sale in map(SALES.record, rows)}
    return [found.get(invoice_id) for invoice_id in invoice_ids]


async def find_own_sale(
    connection: Connection, invoice_id: str, access_token_hash: bytes, serial_number: str
) -> Sale | None:
    """See `service.store.Store`."""
    row = await connection.fetchrow(_SELECT_OWN_SALE, invoice_id, access_token_hash, serial_number)
    return None if row is None else SALES.record(row)


async def has_sale(connection: Connection, invoice_id: str) -> bool:
    """See `service.store.Store`."""
    return bool(await connection.fetchval(_EXISTS_SALE, invoice_id))


async def lock_sale(connection: Connection, invoice_id: str) -> Sale:
    """Return a sale that was stored, which nobody else changes until the transaction ends.

    Raises:
        SaleError: ERROR_REASON_INVOICE_NOT_FOUND, it was purged since.
    """
    row = await connection.fetchrow(f"{_SELECT_SALE} FOR NO KEY UPDATE", invoice_id)
    if row is None:
        raise SaleError(ErrorReason.ERROR_REASON_INVOICE_NOT_FOUND)
    return SALES.record(row)


async def find_sale_by_session(
    connection: Connection, session_token: str, access_token_hash: bytes, serial_number: str
) -> Sale | None:
    """See `service.store.Store`."""
    row = await connection.fetchrow(_SELECT_BY_SESSION, session_token, access_token_hash, serial_number)
    return None if row is None else SALES.record(row)


async def find_invoices_of_session(connection: Connection, session_token: str, limit: int) -> Sequence[str]:
    """See `service.store.Store`."""
    return [row["invoice_id"] for row in await connection.fetch(_SELECT_INVOICES, session_token, limit)]


async def list_sales(
    connection: Connection, filter: SaleFilter, beyond: str | None, limit: int, *, oldest_first: bool
) -> SalePage:
    """See `service.store.Store`."""
    list_ = SaleList(SALES.columns, filter, beyond, oldest_first=oldest_first, placeholder=placeholder)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        page = list_.page(limit)
        sales = [SALES.record(row) for row in await connection.fetch(page.text, *page.bindings)]
        end = None
        if list_.may_go_on(len(sales), limit):
            statement = list_.end()
            end = await connection.fetchval(statement.text, *statement.bindings)
    return SalePage(sales, sales[-1].invoice_id if len(sales) == limit else end)


async def count_sales(connection: Connection, filter: SaleFilter) -> int:
    """See `service.store.Store`."""
    statement = SaleList(SALES.columns, filter, placeholder=placeholder).count()
    return int(await connection.fetchval(statement.text, *statement.bindings))


async def bind_free_checks(connection: Connection, checks: Sequence[NewCheck]) -> Sequence[Sale]:
    """Bind those of some checks whose sale is INITIATED and in no other transaction's hands, all in one transaction.

    Returns:
        Their sales.
    """
    return [SALES.record(row) for row in await connection.fetchmany(_BIND_CHECK_IF_FREE, checks)]


async def bind_check(connection: Connection, check: NewCheck) -> Sale:
    """See `service.store.Store`."""
    row = await connection.fetchrow(_BIND_CHECK_NOW, *check)
    # If it waited for another check, only a statement that begins now sees what that has bound. What is seen may be on
    # this server only; the lock is written to the log, so that the standby has both when this is committed.
    return await lock_sale(connection, check.invoice_id) if row is None else SALES.record(row)


async def change_sale(connection: Connection, sale: Sale) -> None:
    """Store what of a sale has changed: columns that `CHANGING` names."""
    await connection.fetchrow(_UPDATE_SALE, *changing_values(sale), sale.invoice_id)


async def count_random_sum_answer(connection: Connection, invoice_id: str, *, failed: bool) -> int:
    """See `service.store.Store`."""
    count = await connection.fetchval(_COUNT_FAILURE, invoice_id, int(failed))
    if count is None:
        raise SaleError(ErrorReason.ERROR_REASON_INVOICE_NOT_FOUND)
    return int(count)


async def expire_sessions(connection: Connection, now: datetime, limit: int) -> int:
    """See `service.store.Store`."""
    return len(await connection.fetch(_EXPIRE, now, limit))


async def purge_sales(connection: Connection, updated_before: datetime, beyond: str, limit: int) -> PurgeStep:
    """See `service.store.Store`."""
    rows = await connection.fetch(_SELECT_OLD, beyond, first_uuid(updated_before), updated_before, _FINAL_NAMES, limit)
    final = [(row["invoice_id"], row["is_old"]) for row in rows if row["is_final"]]
    old = [invoice_id for invoice_id, is_old in final if is_old]
    removed = []
    if old:
        async with connection.transaction():
            removed = await connection.fetch(_DELETE_OLD, old, updated_before, _FINAL_NAMES)
            for statement in (_DELETE_REPORTS, _DELETE_EVENTS):
                await connection.execute(statement, [row["invoice_id"] for row in removed])
    return PurgeStep(len(removed), rows[-1]["invoice_id"] if len(rows) == limit else None, len(old) < len(final))
