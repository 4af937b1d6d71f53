"""How PostgreSQL finds what the statements ask for, where there is much of everything."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from service.errors import SaleError
from service.sale_states import SaleState
from service.store import SaleFilter, StoredAccessToken
from service.store.postgresql import (
    access_tokens,
    audit_log,
    cards,
    changes,
    idempotency_records,
    reports,
    sale_events,
    sales,
)
from service.store.postgresql.database import Connection
from service.store.postgresql.sales import NewCheck, NewSession
from service.store.postgresql.schema import migrate
from tests.bench.growth import fill_postgresql
from tests.postgresql import PostgresqlServer, postgresql_server
from tests.service.store.test_store import LATER, NOW, new_card, new_entry, new_event, new_report, new_sale, record_of

pytestmark = pytest.mark.anyio
COUNT = 30_000
FILL = (
    "INSERT INTO cards (client_card_id, consumer_id, create_time, endpoint_id, server_card_id, delete_time)"
    f" SELECT gen_random_uuid(), 'consumer-' || i / 3, now(), '11110', i, CASE WHEN i % 5 = 0 THEN now() END"
    f" FROM generate_series(1, {COUNT}) AS i",
    "INSERT INTO cards (client_card_id, consumer_id, create_time, vault_key_id, sealed)"
    f" SELECT gen_random_uuid(), 'consumer-' || i, now(), 'key', 'x' FROM generate_series(1, {COUNT}) AS i",
    "INSERT INTO access_tokens (hash, issue_time, expire_time, consumer_id) SELECT sha256(i::text::bytea), now(),"
    f" now() + i * interval '1 minute', 'consumer-' || i / 3 FROM generate_series(1, {COUNT}) AS i",
    "INSERT INTO idempotency_records SELECT sha256(i::text::bytea), 'key', 'x', i, now() + i * interval '1 minute'"
    f" FROM generate_series(1, {COUNT}) AS i",
    "INSERT INTO status_reports SELECT invoice_id, 'sale', 'approved', '1', NULL, false, '[]', now(), 1 FROM sales",
    "INSERT INTO sale_events SELECT invoice_id, 1, 1, 'SaleService.CheckSale', 'x', NULL, 'x', 0, NULL FROM sales",
    "INSERT INTO unordered_changes (change_time, invoice_id, update_time, state, amount_differs)"
    " SELECT clock_timestamp(), invoice_id, now(), state, false FROM sales",
    "INSERT INTO audit_entries SELECT uuid, now(), 'merchant', NULL, 'access_token.issued', 'x', '[]'"
    f" FROM (SELECT gen_random_uuid() AS uuid FROM generate_series(1, {COUNT})) AS ids",
    "INSERT INTO audit_chain SELECT row_number() OVER (), entry_id, 'x' FROM audit_entries",
    "INSERT INTO unchained_audit_entries SELECT gen_random_uuid() FROM audit_entries",
    "UPDATE sales SET state = 'INITIATED', session_token = NULL, check_time = NULL"
    " WHERE invoice_id IN (SELECT invoice_id FROM sales LIMIT 3000)",
    "VACUUM ANALYZE",
)
ONE_ROW = {"audit_chaining", "change_order", "schema_migrations"}
"""Tables that have one."""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    with postgresql_server("plans") as server:
        yield server


@pytest.fixture(scope="module")
async def connection(server: PostgresqlServer, anyio_backend: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(server.url(), connection_class=Connection)
    await migrate(connection)
    fill_postgresql(server, COUNT)
    for statement in FILL:
        await connection.execute(statement)
    yield connection
    await connection.close()


SALE, CARD, TOKEN = new_sale(), new_card(), StoredAccessToken(b"n" * 32, NOW, LATER)
Work = Callable[[Connection], Awaitable[object]]
WORK: dict[str, Work] = {
    "open sessions": lambda c: sales.open_new_sessions(c, [NewSession(SALE, record_of(SALE))]),
    "open session": lambda c: sales.open_session(c, NewSession(new_sale(1), record_of(new_sale(1)))),
    "find sales": lambda c: sales.find_sales(c, [SALE.invoice_id]),
    "find sale": lambda c: sales.find_sale(c, SALE.invoice_id),
    "find own sale": lambda c: sales.find_own_sale(c, SALE.invoice_id, b"h" * 32, "x"),
    "has sale": lambda c: sales.has_sale(c, SALE.invoice_id),
    "find by session": lambda c: sales.find_sale_by_session(c, "a" * 16, b"h" * 32, "x"),
    "invoices of session": lambda c: sales.find_invoices_of_session(c, "a" * 16, 2),
    "bind checks": lambda c: sales.bind_free_checks(c, [NewCheck(SALE.invoice_id, "a" * 16, None, NOW)]),
    "bind check": lambda c: sales.bind_check(c, NewCheck(SALE.invoice_id, "a" * 16, None, NOW)),
    "random sum": lambda c: sales.count_random_sum_answer(c, SALE.invoice_id, failed=True),
    "expire": lambda c: sales.expire_sessions(c, NOW, 100),
    "purge sales": lambda c: sales.purge_sales(c, datetime.now(UTC), "", 100),
    "report": lambda c: reports.report_status(c, new_report(SALE), must_move=False),
    "reports": lambda c: reports.find_sale_and_reports(c, SALE.invoice_id),
    "keep events": lambda c: sale_events.append_sale_events(c, [new_event(SALE, 1)]),
    "events": lambda c: sale_events.list_sale_events(c, SALE.invoice_id),
    "map card": lambda c: cards.map_card(c, SALE.invoice_id, CARD, new_entry()),
    "add card": lambda c: cards.add_card(c, new_card(1, server_card_id="other"), new_entry()),
    "find card": lambda c: cards.find_card(c, "anna", CARD.client_card_id),
    "list cards": lambda c: cards.list_cards(c, "anna", "f", 10),
    "replace card": lambda c: cards.replace_card(c, CARD, CARD, new_entry()),
    "cards sealed otherwise": lambda c: cards.list_cards_sealed_otherwise(c, "new", "", 100),
    "find record": lambda c: idempotency_records.find_record(c, b"h" * 32, "order-1", NOW),
    "purge records": lambda c: idempotency_records.purge_records(c, NOW, 100),
    "find tokens": lambda c: access_tokens.find_access_tokens(c, [b"h" * 32]),
    "revoke token": lambda c: access_tokens.revoke_access_token(c, b"h" * 32, NOW, new_entry()),
    "revoke tokens": lambda c: access_tokens.revoke_consumer_tokens(c, "anna", NOW, new_entry()),
    "add token": lambda c: access_tokens.add_access_token(c, TOKEN, new_entry()),
    "audit": lambda c: audit_log.append_audit_entry(c, new_entry()),
    "chain": audit_log.chain_audit_entries,
    "audit entries": lambda c: audit_log.list_audit_entries(c, 5, 100),
    "purge tokens": lambda c: access_tokens.purge_access_tokens(c, NOW, 100),
    "changes": lambda c: changes.find_changes(c, 5, 100),
    "has unordered": changes.has_unordered,
    "position before": lambda c: changes.position_before(c, datetime.now(UTC)),
    "purge changes": lambda c: changes.purge_changes(c, datetime.now(UTC), 100),
}
FILTERS = {
    "all": SaleFilter(),
    "since": SaleFilter(start_time=NOW, end_time=LATER),
    "of a consumer": SaleFilter(consumer_id="anna"),
    "of a card": SaleFilter(client_card_id=CARD.client_card_id),
    "of a state": SaleFilter(state=SaleState.SALE_STATE_DECLINED),
    "that are initiated": SaleFilter(state=SaleState.SALE_STATE_INITIATED, endpoint_id="11110"),
    "of an endpoint": SaleFilter(endpoint_id="22220"),
}


def list_of(filter: SaleFilter, *, oldest_first: bool) -> Work:
    return lambda c: sales.list_sales(c, filter, "8", 10, oldest_first=oldest_first)


for name, filter_ in FILTERS.items():
    WORK[f"list {name}"] = list_of(filter_, oldest_first=False)
    WORK[f"list {name}, the oldest first"] = list_of(filter_, oldest_first=True)


@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
async def test_no_statement_reads_a_whole_table(connection: Connection, server: PostgresqlServer, work: Work) -> None:
    statements: list[str] = []

    def keep(record: Any) -> None:
        statements.append(record.query)

    with connection.query_logger(keep):
        with suppress(SaleError):
            await work(connection)
        await asyncio.sleep(0)  # it is told of a statement a little later

    explained = [each for each in statements if each.split()[0] in {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"}]
    assert explained
    for statement in explained:
        require_index(server, f"EXPLAIN (GENERIC_PLAN) {statement}")


async def test_ordering_changes_reads_no_whole_table(connection: Connection, server: PostgresqlServer) -> None:
    require_index(server, f"EXPLAIN {changes._PLACE}")


def require_index(server: PostgresqlServer, explain: str) -> None:
    plan = "\n".join(line for (line,) in server.execute(explain))
    assert set(re.findall(r"Seq Scan on (\w+)", plan)) <= ONE_ROW, plan
