"""The store on SQLite: one file, several processes of one host.

Write-ahead logging with synchronous=FULL: a commit returns once the log is on the disk. Reads go through a connection
of their own, in the event loop's thread: they are a few pages that are in memory, and wait for no writer.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import apsw

from service.store.group_commit import GroupCommit
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
from service.store.sqlite import (
    access_tokens,
    audit_log,
    blocks,
    cards,
    changes,
    file,
    idempotency_records,
    limit_uses,
    reports,
    sale_events,
    sales,
)
from service.store.sqlite.file import SqliteTransactions, errors_as_unavailable, open_connection, open_writer
from service.store.usage import OnCommit, StoreUsage

P = ParamSpec("P")
ResultT = TypeVar("ResultT")
Statement = Callable[Concatenate[apsw.Connection, P], ResultT]

_POLL_SECONDS = 0.2
"""How often another process's commits are looked for."""


class SqliteStore:
    """A `service.store.Store` on an SQLite file.

    Opens the file, makes it (readable by its owner alone) if there is none, and brings its schema up to date.

    Args:
        path: the file; its folder exists.

    Raises:
        StoreUnavailable: the file can't be opened.
        RuntimeError: the SQLite library is not sound, or the file was written by a newer version of this program.
    """

    def __init__(self, path: Path) -> None:
        writer = open_writer(path)
        with errors_as_unavailable():
            self._reader = open_connection(path)
        self._writer = writer
        self._group_commit = GroupCommit(
            writer, SqliteTransactions(writer), patience_seconds=file.BUSY_TIMEOUT_MS / 1000
        )
        self._committed = asyncio.Event()

    async def open_session(
        self, sale: Sale, record: IdempotencyRecord | None, charges: Sequence[Charge] = ()
    ) -> IdempotencyRecord | LimitReached | None:
        """See `service.store.Store`."""
        return await self._change(sales.open_session, sale, record, charges)

    async def find_sale(self, invoice_id: str) -> Sale | None:
        """See `service.store.Store`."""
        return self._read(sales.find_sale, invoice_id)

    async def find_own_sale(self, invoice_id: str, access_token_hash: bytes, serial_number: str) -> Sale | None:
        """See `service.store.Store`."""
        return self._read(sales.find_own_sale, invoice_id, access_token_hash, serial_number)

    async def has_sale(self, invoice_id: str) -> bool:
        """See `service.store.Store`."""
        return self._read(sales.has_sale, invoice_id)

    async def find_sale_by_session(
        self, session_token: str, access_token_hash: bytes, serial_number: str
    ) -> Sale | None:
        """See `service.store.Store`."""
        return self._read(sales.find_sale_by_session, session_token, access_token_hash, serial_number)

    async def find_invoices_of_session(self, session_token: str, limit: int) -> Sequence[str]:
        """See `service.store.Store`."""
        return self._read(sales.find_invoices_of_session, session_token, limit)

    async def list_sales(
        self, filter: SaleFilter, beyond: str | None, limit: int, *, oldest_first: bool = False
    ) -> SalePage:
        """See `service.store.Store`."""
        return self._read(sales.list_sales, filter, beyond, limit, oldest_first=oldest_first)

    async def count_sales(self, filter: SaleFilter) -> int:
        """See `service.store.Store`."""
        return self._read(sales.count_sales, filter)

    async def bind_check(self, invoice_id: str, session_token: str, client_card_id: str | None, now: datetime) -> Sale:
        """See `service.store.Store`."""
        return await self._change(sales.bind_check, invoice_id, session_token, client_card_id, now)

    async def report_status(self, report: StatusReport, *, must_move: bool) -> Sale | None:
        """See `service.store.Store`."""
        return await self._change(reports.report_status, report, must_move=must_move)

    async def find_sale_and_reports(self, invoice_id: str) -> tuple[Sale, Sequence[StatusReport]] | None:
        """See `service.store.Store`."""
        return self._read(reports.find_sale_and_reports, invoice_id)

    async def append_sale_events(self, events: Sequence[SaleEvent]) -> None:
        """See `service.store.Store`."""
        await self._write(sale_events.append_sale_events, events)

    async def list_sale_events(self, invoice_id: str) -> Sequence[SaleEvent]:
        """See `service.store.Store`."""
        return self._read(sale_events.list_sale_events, invoice_id)

    async def count_random_sum_answer(self, invoice_id: str, *, failed: bool) -> int:
        """See `service.store.Store`."""
        return await self._write(sales.count_random_sum_answer, invoice_id, failed=failed)

    async def list_changes(self, after: int, limit: int, *, skip_purged: bool = False) -> Sequence[SaleChange]:
        """See `service.store.Store`."""
        return self._read(changes.list_changes, after, limit, skip_purged=skip_purged)

    async def position_before(self, moment: datetime) -> int:
        """See `service.store.Store`."""
        return self._read(changes.position_before, moment)

    async def last_position(self) -> int:
        """See `service.store.Store`."""
        return self._read(changes.last_position)

    async def wait_for_change(self) -> None:
        """See `service.store.Store`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_POLL_SECONDS):
                await self._committed.wait()

    async def map_card(self, invoice_id: str, card: StoredCard, audit: AuditEntry) -> None:
        """See `service.store.Store`."""
        await self._change(cards.map_card, invoice_id, card, audit)

    async def add_card(self, card: StoredCard, audit: AuditEntry) -> None:
        """See `service.store.Store`."""
        await self._write(cards.add_card, card, audit)

    async def find_card(self, consumer_id: str, client_card_id: str) -> StoredCard | None:
        """See `service.store.Store`."""
        return self._read(cards.find_card, consumer_id, client_card_id)

    async def list_cards(self, consumer_id: str, before: str | None, limit: int) -> Sequence[StoredCard]:
        """See `service.store.Store`."""
        return self._read(cards.list_cards, consumer_id, before, limit)

    async def replace_card(self, card: StoredCard, expected: StoredCard, audit: AuditEntry | None) -> bool:
        """See `service.store.Store`."""
        return await self._write(cards.replace_card, card, expected, audit)

    async def list_cards_sealed_otherwise(self, vault_key_id: str, after: str, limit: int) -> Sequence[StoredCard]:
        """See `service.store.Store`."""
        return self._read(cards.list_cards_sealed_otherwise, vault_key_id, after, limit)

    async def find_idempotency_record(
        self, access_token_hash: bytes, idempotency_key: str, now: datetime
    ) -> IdempotencyRecord | None:
        """See `service.store.Store`."""
        return self._read(idempotency_records.find_record, access_token_hash, idempotency_key, now)

    async def add_access_token(self, token: StoredAccessToken, audit: AuditEntry) -> None:
        """See `service.store.Store`."""
        await self._write(access_tokens.add_access_token, token, audit)

    async def find_access_token(self, hash: bytes) -> StoredAccessToken | None:
        """See `service.store.Store`."""
        return self._read(access_tokens.find_access_token, hash)

    async def revoke_access_token(self, hash: bytes, now: datetime, audit: AuditEntry) -> None:
        """See `service.store.Store`."""
        await self._write(access_tokens.revoke_access_token, hash, now, audit)

    async def revoke_consumer_tokens(self, consumer_id: str, now: datetime, audit: AuditEntry) -> int:
        """See `service.store.Store`."""
        return await self._write(access_tokens.revoke_consumer_tokens, consumer_id, now, audit)

    async def append_audit_entry(self, entry: AuditEntry) -> None:
        """See `service.store.Store`."""
        await self._write(audit_log.append_audit_entry, entry)

    async def list_audit_entries(self, after: int, limit: int) -> Sequence[ChainedEntry]:
        """See `service.store.Store`."""
        return self._read(audit_log.list_audit_entries, after, limit)

    async def count_unchained_audit_entries(self) -> UnchainedEntries:
        """See `service.store.Store`."""
        return self._read(audit_log.count_unchained_audit_entries)

    async def put_block(self, block: Block, audit: AuditEntry) -> None:
        """See `service.store.Store`."""
        await self._write(blocks.put_block, block, audit)

    async def remove_block(self, key: BlockKey, audit: AuditEntry) -> None:
        """See `service.store.Store`."""
        await self._write(blocks.remove_block, key, audit)

    async def list_blocks(
        self, kind: str | None, beyond: BlockKey | None, limit: int, now: datetime
    ) -> Sequence[Block]:
        """See `service.store.Store`."""
        return self._read(blocks.list_blocks, kind, beyond, limit, now)

    async def find_block_shapes(self) -> Collection[tuple[str, int]]:
        """See `service.store.Store`."""
        return self._read(blocks.find_block_shapes)

    async def has_block(self, keys: Sequence[BlockKey], now: datetime) -> bool:
        """See `service.store.Store`."""
        return self._read(blocks.has_block, keys, now)

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
        return await self._write(changes.purge_changes, made_before, limit)

    async def purge_sales(self, updated_before: datetime, beyond: str, limit: int) -> PurgeStep:
        """See `service.store.Store`."""
        return await self._write(sales.purge_sales, updated_before, beyond, limit)

    async def ping(self) -> None:
        """See `service.store.Store`."""
        await self._write(_nothing)

    async def close(self) -> None:
        """See `service.store.Store`."""
        await self._group_commit.close()
        self._reader.close()
        self._writer.close()

    def usage(self) -> StoreUsage:
        """See `service.store.usage.Measurable`."""
        return StoreUsage(self._group_commit.retries)

    def measure(self, on_commit: OnCommit) -> None:
        """See `service.store.usage.Measurable`."""
        self._group_commit.on_commit = on_commit

    def _read(self, statement: Statement[P, ResultT], *arguments: P.args, **named: P.kwargs) -> ResultT:
        with errors_as_unavailable():
            return statement(self._reader, *arguments, **named)

    async def _write(self, statement: Statement[P, ResultT], *arguments: P.args, **named: P.kwargs) -> ResultT:
        def write(connection: apsw.Connection) -> ResultT:
            with errors_as_unavailable():
                return statement(connection, *arguments, **named)

        return await self._group_commit.write(write)

    async def _change(self, statement: Statement[P, ResultT], *arguments: P.args, **named: P.kwargs) -> ResultT:
        """Write what changes sales, and wake whoever waits for that."""
        result = await self._write(statement, *arguments, **named)
        committed, self._committed = self._committed, asyncio.Event()
        committed.set()
        return result


def _nothing(connection: apsw.Connection) -> None:
    """Write nothing."""
