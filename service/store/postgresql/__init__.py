"""The store on PostgreSQL: any number of nodes, on one cluster.

Nothing is kept in a process that another one would miss. Reads and writes go to the server that takes writes.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Concatenate, ParamSpec, TypeVar

from service.errors import StoreUnavailable
from service.store.postgresql import (
    access_tokens,
    audit_log,
    blocks,
    cards,
    changes,
    idempotency_records,
    limit_uses,
    reports,
    sale_events,
    sales,
)
from service.store.postgresql.audit_chaining import AuditChaining
from service.store.postgresql.batches import Batches
from service.store.postgresql.database import Connection, Database, commit_something, within_patience
from service.store.postgresql.news import News
from service.store.postgresql.sales import NewCheck, NewSession
from service.store.postgresql.schema import begin_use, require_current
from service.store.records import (
    AuditEntry,
    Block,
    BlockKey,
    ChainedEntry,
    Charge,
    IdempotencyRecord,
    LimitReached,
    PurgeStep,
    Sale,
    SaleChange,
    SaleEvent,
    SaleFilter,
    SalePage,
    StatusReport,
    StoredAccessToken,
    StoredCard,
    UnchainedEntries,
)
from service.store.rules import require_complete
from service.store.usage import OnCommit, StoreUsage

P = ParamSpec("P")
ResultT = TypeVar("ResultT")
Statement = Callable[Concatenate[Connection, P], Awaitable[ResultT]]


class PostgresqlStore:
    """A `service.store.Store` on a PostgreSQL database.

    Args:
        database: the database; closed with the store.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._orderings = Batches(self._order_changes, max_running=1)
        self._confirmations = Batches(self._confirm, max_running=1)
        self._confirmed_position = 0
        self._news = News(database, self._order_all_changes)
        self._audit_chaining = AuditChaining(lambda: self._write(audit_log.chain_audit_entries))
        self._sessions = Batches(self._open_sessions)
        self._limited_sessions = Batches(self._open_limited_sessions, max_running=1)
        self._checks = Batches(self._bind_checks)
        self._sought_sales = Batches(self._find_sales)
        self._sought_tokens = Batches(self._find_access_tokens)
        self._sought_changes = Batches(self._find_changes)
        self._sought_shapes = Batches(self._find_block_shapes)
        self._sought_blocks = Batches(self._have_blocks)
        self._all_batches: Sequence[Batches[Any, Any]] = (
            self._sessions,
            self._limited_sessions,
            self._checks,
            self._sought_sales,
            self._sought_tokens,
            self._sought_changes,
            self._sought_shapes,
            self._sought_blocks,
            self._orderings,
            self._confirmations,
        )

    def usage(self) -> StoreUsage:
        """See `service.store.usage.Measurable`."""
        database = self._database
        return StoreUsage(database.retries, database.limit, database.in_use, self._audit_chaining.failures)

    def measure(self, on_commit: OnCommit) -> None:
        """See `service.store.usage.Measurable`."""
        for batches in (self._sessions, self._limited_sessions, self._checks):
            batches.on_commit = on_commit

    async def open(self, *, read_only: bool = False) -> None:
        """Make sure that the store can be used.

        Args:
            read_only: whether nothing is going to be changed; otherwise no copy is made into the database any more.

        Raises:
            StoreUnavailable: the database can't be reached.
            SchemaMismatch: its schema is not the one that this program works with, or a copy into it is not finished.
            RuntimeError: the server would acknowledge what it can lose.
        """
        if read_only:
            await self._database.read(require_current)
        else:
            await self._database.write(begin_use)
            self._audit_chaining.begin_soon()

    async def open_session(
        self, sale: Sale, record: IdempotencyRecord | None, charges: Sequence[Charge] = ()
    ) -> IdempotencyRecord | LimitReached | None:
        """See `service.store.Store`."""
        session = NewSession(sale, record, charges)
        outcome: IdempotencyRecord | LimitReached | None = None
        async with within_patience():
            if charges:
                outcome = await self._limited_sessions.submit(session)
            elif not await self._sessions.submit(session):
                outcome = await self._write(sales.open_session, session)
        self._news.tell()
        return outcome

    async def find_sale(self, invoice_id: str) -> Sale | None:
        """See `service.store.Store`."""
        return await self._sought_sales.submit(invoice_id)

    async def find_own_sale(self, invoice_id: str, access_token_hash: bytes, serial_number: str) -> Sale | None:
        """See `service.store.Store`."""
        return await self._read(sales.find_own_sale, invoice_id, access_token_hash, serial_number)

    async def has_sale(self, invoice_id: str) -> bool:
        """See `service.store.Store`."""
        return await self._read(sales.has_sale, invoice_id)

    async def find_sale_by_session(
        self, session_token: str, access_token_hash: bytes, serial_number: str
    ) -> Sale | None:
        """See `service.store.Store`."""
        return await self._read(sales.find_sale_by_session, session_token, access_token_hash, serial_number)

    async def find_invoices_of_session(self, session_token: str, limit: int) -> Sequence[str]:
        """See `service.store.Store`."""
        return await self._read(sales.find_invoices_of_session, session_token, limit)

    async def list_sales(
        self, filter: SaleFilter, beyond: str | None, limit: int, *, oldest_first: bool = False
    ) -> SalePage:
        """See `service.store.Store`."""
        return await self._read(sales.list_sales, filter, beyond, limit, oldest_first=oldest_first)

    async def count_sales(self, filter: SaleFilter) -> int:
        """See `service.store.Store`."""
        return await self._read(sales.count_sales, filter)

    async def bind_check(self, invoice_id: str, session_token: str, client_card_id: str | None, now: datetime) -> Sale:
        """See `service.store.Store`."""
        check = NewCheck(invoice_id, session_token, client_card_id, now)
        async with within_patience():
            sale = await self._checks.submit(check)
            if sale is None:
                sale = await self._write(sales.bind_check, check)
        self._news.tell()
        return sale

    async def report_status(self, report: StatusReport, *, must_move: bool) -> Sale | None:
        """See `service.store.Store`."""
        return await self._change(reports.report_status, report, must_move=must_move)

    async def find_sale_and_reports(self, invoice_id: str) -> tuple[Sale, Sequence[StatusReport]] | None:
        """See `service.store.Store`."""
        return await self._read(reports.find_sale_and_reports, invoice_id)

    async def append_sale_events(self, events: Sequence[SaleEvent]) -> None:
        """See `service.store.Store`."""
        await self._write(sale_events.append_sale_events, events)

    async def list_sale_events(self, invoice_id: str) -> Sequence[SaleEvent]:
        """See `service.store.Store`."""
        return await self._read(sale_events.list_sale_events, invoice_id)

    async def count_random_sum_answer(self, invoice_id: str, *, failed: bool) -> int:
        """See `service.store.Store`."""
        # Counted twice, an answer would cost the consumer two attempts.
        return await self._write_once(sales.count_random_sum_answer, invoice_id, failed=failed)

    async def list_changes(self, after: int, limit: int, *, skip_purged: bool = False) -> Sequence[SaleChange]:
        """See `service.store.Store`."""
        async with within_patience():
            found = await self._sought_changes.submit((after, limit))
            if len(found.changes) < limit and found.has_unordered:
                await self._orderings.submit(None)
                found = await self._sought_changes.submit((after, limit))
            if not skip_purged:
                require_complete(after, [change.position for change in found.changes], found.purged, found.last)
            await self._require_durable(found)
        return found.changes

    async def position_before(self, moment: datetime) -> int:
        """See `service.store.Store`."""
        await self._order_all_changes()
        return await self._read(changes.position_before, moment)

    async def last_position(self) -> int:
        """See `service.store.Store`."""
        await self._order_all_changes()
        return await self._read(changes.last_position)

    async def wait_for_change(self) -> None:
        """See `service.store.Store`."""
        await self._news.wait()

    async def map_card(self, invoice_id: str, card: StoredCard, audit: AuditEntry) -> None:
        """See `service.store.Store`."""
        await self._change(cards.map_card, invoice_id, card, audit)
        self._audit_chaining.begin_soon()

    async def add_card(self, card: StoredCard, audit: AuditEntry) -> None:
        """See `service.store.Store`."""
        await self._audited(cards.add_card, card, audit)

    async def find_card(self, consumer_id: str, client_card_id: str) -> StoredCard | None:
        """See `service.store.Store`."""
        return await self._read(cards.find_card, consumer_id, client_card_id)

    async def list_cards(self, consumer_id: str, before: str | None, limit: int) -> Sequence[StoredCard]:
        """See `service.store.Store`."""
        return await self._read(cards.list_cards, consumer_id, before, limit)

    async def replace_card(self, card: StoredCard, expected: StoredCard, audit: AuditEntry | None) -> bool:
        """See `service.store.Store`."""
        return await self._audited(cards.replace_card, card, expected, audit)

    async def list_cards_sealed_otherwise(self, vault_key_id: str, after: str, limit: int) -> Sequence[StoredCard]:
        """See `service.store.Store`."""
        return await self._read(cards.list_cards_sealed_otherwise, vault_key_id, after, limit)

    async def find_idempotency_record(
        self, access_token_hash: bytes, idempotency_key: str, now: datetime
    ) -> IdempotencyRecord | None:
        """See `service.store.Store`."""
        record = await self._read(idempotency_records.find_record, access_token_hash, idempotency_key, now)
        if record is not None:
            await self._write(idempotency_records.confirm_record, access_token_hash, idempotency_key)
        return record

    async def add_access_token(self, token: StoredAccessToken, audit: AuditEntry) -> None:
        """See `service.store.Store`."""
        await self._audited(access_tokens.add_access_token, token, audit)

    async def find_access_token(self, hash: bytes) -> StoredAccessToken | None:
        """See `service.store.Store`."""
        return await self._sought_tokens.submit(hash)

    async def revoke_access_token(self, hash: bytes, now: datetime, audit: AuditEntry) -> None:
        """See `service.store.Store`."""
        await self._audited(access_tokens.revoke_access_token, hash, now, audit)

    async def revoke_consumer_tokens(self, consumer_id: str, now: datetime, audit: AuditEntry) -> int:
        """See `service.store.Store`."""
        # Done once more, it would find none that count.
        count = await self._write_once(access_tokens.revoke_consumer_tokens, consumer_id, now, audit)
        self._audit_chaining.begin_soon()
        return count

    async def append_audit_entry(self, entry: AuditEntry) -> None:
        """See `service.store.Store`."""
        await self._audited(audit_log.append_audit_entry, entry)

    async def list_audit_entries(self, after: int, limit: int) -> Sequence[ChainedEntry]:
        """See `service.store.Store`."""
        return await self._read(audit_log.list_audit_entries, after, limit)

    async def count_unchained_audit_entries(self) -> UnchainedEntries:
        """See `service.store.Store`."""
        return await self._read(audit_log.count_unchained_audit_entries)

    async def put_block(self, block: Block, audit: AuditEntry) -> None:
        """See `service.store.Store`."""
        await self._audited(blocks.put_block, block, audit)

    async def remove_block(self, key: BlockKey, audit: AuditEntry) -> None:
        """See `service.store.Store`."""
        await self._audited(blocks.remove_block, key, audit)

    async def list_blocks(
        self, kind: str | None, beyond: BlockKey | None, limit: int, now: datetime
    ) -> Sequence[Block]:
        """See `service.store.Store`."""
        return await self._read(blocks.list_blocks, kind, beyond, limit, now)

    async def find_block_shapes(self) -> Collection[tuple[str, int]]:
        """See `service.store.Store`."""
        return await self._sought_shapes.submit(None)

    async def has_block(self, keys: Sequence[BlockKey], now: datetime) -> bool:
        """See `service.store.Store`."""
        return await self._sought_blocks.submit(blocks.Sought(keys, now))

    async def expire_sessions(self, now: datetime, limit: int) -> int:
        """See `service.store.Store`."""
        return await self._change(sales.expire_sessions, now, limit)

    async def purge_access_tokens(self, now: datetime, limit: int) -> int:
        """See `service.store.Store`."""
        return await self._write(access_tokens.purge_access_tokens, now, limit)

    async def purge_idempotency_records(self, now: datetime, limit: int) -> int:
        """See `service.store.Store`."""
        return await self._write(idempotency_records.purge_records, now, limit)

    async def purge_blocks(self, now: datetime, limit: int) -> int:
        """See `service.store.Store`."""
        return await self._write(blocks.purge_blocks, now, limit)

    async def purge_limit_uses(self, now: datetime, limit: int) -> int:
        """See `service.store.Store`."""
        return await self._write(limit_uses.purge_limit_uses, now, limit)

    async def purge_changes(self, made_before: datetime, limit: int) -> int:
        """See `service.store.Store`."""
        await self._order_all_changes()
        return await self._write(changes.purge_changes, made_before, limit)

    async def purge_sales(self, updated_before: datetime, beyond: str, limit: int) -> PurgeStep:
        """See `service.store.Store`."""
        return await self._write(sales.purge_sales, updated_before, beyond, limit)

    async def ping(self) -> None:
        """See `service.store.Store`."""
        if await self._read(_is_read_only):
            raise StoreUnavailable

    async def close(self) -> None:
        """See `service.store.Store`."""
        await self._news.close()
        with suppress(StoreUnavailable):
            async with within_patience():
                for batches in self._all_batches:
                    await batches.close()
                await self._audit_chaining.close()
        await self._database.close()

    async def _open_sessions(self, sessions: Sequence[NewSession]) -> Sequence[bool]:
        opened = await self._write(sales.open_new_sessions, sessions)
        return [session.sale.invoice_id in opened for session in sessions]

    async def _open_limited_sessions(self, sessions: Sequence[NewSession]) -> Sequence[limit_uses.Outcome]:
        return await self._write(limit_uses.open_limited_sessions, sessions)

    async def _bind_checks(self, checks: Sequence[NewCheck]) -> Sequence[Sale | None]:
        bound = {sale.invoice_id: sale for sale in await self._write(sales.bind_free_checks, checks)}
        return [bound.get(check.invoice_id) for check in checks]

    async def _find_sales(self, invoice_ids: Sequence[str]) -> Sequence[Sale | None]:
        return await self._read(sales.find_sales, invoice_ids)

    async def _find_access_tokens(self, hashes: Sequence[bytes]) -> Sequence[StoredAccessToken | None]:
        return await self._read(access_tokens.find_access_tokens, hashes)

    async def _find_changes(self, wanted: Sequence[tuple[int, int]]) -> Sequence[changes.FoundChanges]:
        # Readers that keep up all want the same.
        found = {each: await self._read(changes.find_changes, *each) for each in dict.fromkeys(wanted)}
        return [found[each] for each in wanted]

    async def _find_block_shapes(self, asked: Sequence[None]) -> Sequence[Collection[tuple[str, int]]]:
        return [await self._read(blocks.find_block_shapes)] * len(asked)

    async def _have_blocks(self, sought: Sequence[blocks.Sought]) -> Sequence[bool]:
        return await self._read(blocks.have_blocks, sought)

    async def _order_changes(self, asked: Sequence[None]) -> Sequence[int]:
        # Whoever asks for it while it runs asks for changes that it may not see.
        return [await self._write(changes.order_changes)] * len(asked)

    async def _order_all_changes(self) -> None:
        """Give positions to all changes that have none now; others may come meanwhile."""
        if await self._read(changes.has_unordered):
            while await self._orderings.submit(None) >= changes.BATCH:
                pass

    async def _require_durable(self, found: changes.FoundChanges) -> None:
        # After a crash, or a wait that was cancelled, a server shows changes that its standby has not. If that took
        # over, it would give their positions to others.
        if found.last < self._confirmed_position:
            self._confirmed_position = 0
        if found.changes and found.changes[-1].position > self._confirmed_position:
            await self._confirmations.submit(None)
            self._confirmed_position = max(self._confirmed_position, found.changes[-1].position)

    async def _confirm(self, asked: Sequence[None]) -> Sequence[None]:
        await self._write(commit_something)
        return asked

    async def _read(self, statement: Statement[P, ResultT], *arguments: P.args, **named: P.kwargs) -> ResultT:
        return await self._database.read(lambda connection: statement(connection, *arguments, **named))

    async def _write(self, statement: Statement[P, ResultT], *arguments: P.args, **named: P.kwargs) -> ResultT:
        """Write what, done once more, gives the same."""
        return await self._database.write(lambda connection: statement(connection, *arguments, **named))

    async def _write_once(self, statement: Statement[P, ResultT], *arguments: P.args, **named: P.kwargs) -> ResultT:
        """Write what must not be done twice."""
        return await self._database.write(
            lambda connection: statement(connection, *arguments, **named), repeatable=False
        )

    async def _audited(self, statement: Statement[P, ResultT], *arguments: P.args, **named: P.kwargs) -> ResultT:
        """Write what an audit entry is kept of, and let that be chained soon."""
        result = await self._write(statement, *arguments, **named)
        self._audit_chaining.begin_soon()
        return result

    async def _change(self, statement: Statement[P, ResultT], *arguments: P.args, **named: P.kwargs) -> ResultT:
        """Write what changes sales, and tell whoever waits for that."""
        result = await self._write(statement, *arguments, **named)
        self._news.tell()
        return result


async def _is_read_only(connection: Connection) -> bool:
    return bool(await connection.fetchval("SHOW transaction_read_only") == "on")
