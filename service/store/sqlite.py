"""The store on SQLite: one file, several processes of one host.

Write-ahead logging with synchronous=FULL: a commit returns once the log is on the disk. Reads go through a connection
of their own, in the event loop's thread: they are a few pages that are in memory, and wait for no writer.
"""

import json
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import apsw

from service.identifiers import from_microseconds, microseconds
from service.store import IdempotencyRecord, IdentifierTaken, Sale, StoredAccessToken
from service.store.group_commit import GroupCommit, Write
from service.store.sqlite_file import SqliteTransactions, errors_as_unavailable, open_connection, open_writer

_Row = tuple[Any, ...]
FromT = TypeVar("FromT")
ToT = TypeVar("ToT")
ResultT = TypeVar("ResultT")

_SALE_COLUMNS = (
    "invoice_id, endpoint_id, access_token_hash, serial_number, imei, ip_addresses, lat, lng, amount_centis, currency,"
    " nonce, signature, initiated_at, expires_at, session_token, checked_at"
)
_INSERT_SALE = (
    f"INSERT INTO sales ({_SALE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING RETURNING 1"
)
_SELECT_SALE = f"SELECT {_SALE_COLUMNS} FROM sales WHERE invoice_id = ?"
_BIND_CHECK = (
    "UPDATE sales SET session_token = coalesce(session_token, ?2), checked_at = coalesce(checked_at, ?3)"
    " WHERE invoice_id = ?1 RETURNING session_token"
)
_UPSERT_RECORD = (
    "INSERT INTO idempotency_records (access_token_hash, idempotency_key, request_hash, invoice_id, expires_at)"
    " VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET request_hash = excluded.request_hash,"
    " invoice_id = excluded.invoice_id, expires_at = excluded.expires_at"
)
_SELECT_RECORD = (
    "SELECT access_token_hash, idempotency_key, request_hash, invoice_id, expires_at FROM idempotency_records"
    " WHERE access_token_hash = ? AND idempotency_key = ? AND expires_at > ?"
)
_INSERT_TOKEN = (
    "INSERT INTO access_tokens (hash, endpoint_id, issued_at, expires_at, revoked_at) VALUES (?, ?, ?, ?, ?)"
)
_SELECT_TOKEN = "SELECT hash, endpoint_id, issued_at, expires_at, revoked_at FROM access_tokens WHERE hash = ?"
_REVOKE_TOKEN = "UPDATE access_tokens SET revoked_at = ?2 WHERE hash = ?1 AND revoked_at IS NULL"


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
        self._group_commit = GroupCommit(writer, SqliteTransactions(writer))

    async def open_session(self, sale: Sale, record: IdempotencyRecord | None) -> IdempotencyRecord | None:
        """See `service.store.Store`."""
        return await self._write(partial(_open_session, sale=sale, record=record))

    async def find_sale(self, invoice_id: str) -> Sale | None:
        """See `service.store.Store`."""
        row = self._read(_SELECT_SALE, invoice_id)
        return None if row is None else _sale_from_row(row)

    async def bind_check(self, invoice_id: str, session_token: str, checked_at: datetime) -> str:
        """See `service.store.Store`."""

        def write(connection: apsw.Connection) -> str:
            bound: str = connection.execute(_BIND_CHECK, (invoice_id, session_token, microseconds(checked_at))).get
            return bound

        return await self._write(write)

    async def find_idempotency_record(
        self, access_token_hash: bytes, idempotency_key: str, now: datetime
    ) -> IdempotencyRecord | None:
        """See `service.store.Store`."""
        row = self._read(_SELECT_RECORD, access_token_hash, idempotency_key, microseconds(now))
        return None if row is None else _record_from_row(row)

    async def add_access_token(self, token: StoredAccessToken) -> None:
        """See `service.store.Store`."""
        bindings = (
            token.hash,
            token.endpoint_id,
            microseconds(token.issued_at),
            microseconds(token.expires_at),
            _optional(microseconds, token.revoked_at),
        )
        await self._write(partial(_execute, statement=_INSERT_TOKEN, bindings=bindings))

    async def find_access_token(self, hash: bytes) -> StoredAccessToken | None:
        """See `service.store.Store`."""
        row = self._read(_SELECT_TOKEN, hash)
        if row is None:
            return None
        hash, endpoint_id, issued_at, expires_at, revoked_at = row
        return StoredAccessToken(
            hash,
            endpoint_id,
            from_microseconds(issued_at),
            from_microseconds(expires_at),
            _optional(from_microseconds, revoked_at),
        )

    async def revoke_access_token(self, hash: bytes, revoked_at: datetime) -> None:
        """See `service.store.Store`."""
        bindings = (hash, microseconds(revoked_at))
        await self._write(partial(_execute, statement=_REVOKE_TOKEN, bindings=bindings))

    async def ping(self) -> None:
        """See `service.store.Store`."""
        await self._write(lambda connection: None)

    async def close(self) -> None:
        """See `service.store.Store`."""
        await self._group_commit.close()
        self._reader.close()
        self._writer.close()

    def _read(self, statement: str, *bindings: str | int | bytes) -> _Row | None:
        with errors_as_unavailable():
            row: _Row | None = self._reader.execute(statement, bindings).get
            return row

    async def _write(self, write: Write[apsw.Connection, ResultT]) -> ResultT:
        def translated(connection: apsw.Connection) -> ResultT:
            with errors_as_unavailable():
                return write(connection)

        return await self._group_commit.write(translated)


def _open_session(
    connection: apsw.Connection, *, sale: Sale, record: IdempotencyRecord | None
) -> IdempotencyRecord | None:
    if record is not None:
        bindings = (record.access_token_hash, record.idempotency_key, microseconds(sale.initiated_at))
        if (row := connection.execute(_SELECT_RECORD, bindings).get) is not None:
            return _record_from_row(row)
    if connection.execute(_INSERT_SALE, _row_from_sale(sale)).get is None:
        raise IdentifierTaken
    if record is not None:
        _execute(connection, statement=_UPSERT_RECORD, bindings=_row_from_record(record))
    return None


def _execute(connection: apsw.Connection, *, statement: str, bindings: _Row) -> None:
    connection.execute(statement, bindings)


def _row_from_sale(sale: Sale) -> _Row:
    return (
        sale.invoice_id,
        sale.endpoint_id,
        sale.access_token_hash,
        sale.serial_number,
        sale.imei,
        json.dumps(sale.ip_addresses),
        sale.lat,
        sale.lng,
        sale.amount_centis,
        sale.currency,
        sale.nonce,
        sale.signature,
        microseconds(sale.initiated_at),
        microseconds(sale.expires_at),
        sale.session_token,
        _optional(microseconds, sale.checked_at),
    )


def _sale_from_row(row: _Row) -> Sale:
    # The columns are in the order of the fields.
    values = list(row)
    values[5] = tuple(json.loads(row[5]))
    values[12:14] = from_microseconds(row[12]), from_microseconds(row[13])
    values[15] = _optional(from_microseconds, row[15])
    return Sale(*values)


def _row_from_record(record: IdempotencyRecord) -> _Row:
    return (
        record.access_token_hash,
        record.idempotency_key,
        record.request_hash,
        record.invoice_id,
        microseconds(record.expires_at),
    )


def _record_from_row(row: _Row) -> IdempotencyRecord:
    access_token_hash, idempotency_key, request_hash, invoice_id, expires_at = row
    return IdempotencyRecord(
        access_token_hash, idempotency_key, request_hash, invoice_id, from_microseconds(expires_at)
    )


def _optional(convert: Callable[[FromT], ToT], value: FromT | None) -> ToT | None:
    return None if value is None else convert(value)
