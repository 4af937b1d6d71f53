"""The store on SQLite: one file, several processes of one host.

Write-ahead logging with synchronous=FULL: a commit returns once the log is on the disk. Reads go through a connection
of their own, in the event loop's thread: they are a few pages that are in memory, and wait for no writer.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import apsw

from service.errors import StoreUnavailable
from service.identifiers import from_microseconds, microseconds
from service.store import IdempotencyRecord, IdentifierTaken, Sale, StoredAccessToken
from service.store.group_commit import GroupCommit, Write

FIRST_SOUND_VERSION = (3, 51, 3)
"""Before it, two connections that commit or checkpoint at the same time could lose pages of the log for good."""
BUSY_TIMEOUT_MS = 4000
"""How long to wait for another process's write."""

_UNAVAILABLE = (
    apsw.BusyError,
    apsw.LockedError,
    apsw.FullError,
    apsw.IOError,
    apsw.ReadOnlyError,
    apsw.CantOpenError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.PermissionsError,
    apsw.ProtocolError,
    apsw.NoMemError,
    apsw.InterruptError,
)

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
        _require_sound_version(apsw.sqlite_lib_version())
        with _errors_as_unavailable():
            _create_file(path)
            writer = _open_connection(path)
            _migrate(writer)
            self._reader = _open_connection(path)
        self._writer = writer
        self._group_commit = GroupCommit(writer, _SqliteTransactions(writer))

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
        with _errors_as_unavailable():
            row: _Row | None = self._reader.execute(statement, bindings).get
            return row

    async def _write(self, write: Write[apsw.Connection, ResultT]) -> ResultT:
        def translated(connection: apsw.Connection) -> ResultT:
            with _errors_as_unavailable():
                return write(connection)

        return await self._group_commit.write(translated)


class _SqliteTransactions:
    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._failed = False

    def begin(self) -> None:
        if self._failed:
            raise StoreUnavailable
        with _errors_as_unavailable():
            self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        with _errors_as_unavailable():
            try:
                self._connection.execute("COMMIT")
            except apsw.IOError:
                # What the disk holds now is not known, and a sync that is tried again may report a success that it is
                # not (the kernel has dropped the pages). Nothing more is written until the store is opened anew.
                self._failed = True
                raise
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def rollback(self) -> None:
        with _errors_as_unavailable():
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


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


def _require_sound_version(version: str) -> None:
    if tuple(int(part) for part in version.split(".")) < FIRST_SOUND_VERSION:
        raise RuntimeError(f"SQLite {version} can lose committed writes; install an apsw that brings a newer one")


def _create_file(path: Path) -> None:
    # SQLite gives the log the permissions of the file; sessions are for nobody else to read.
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise apsw.CantOpenError(error.strerror) from error


def _open_connection(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    connection.pragma("journal_mode", "WAL")
    connection.pragma("synchronous", "FULL")
    connection.pragma("trusted_schema", False)
    return connection


def _migrate(connection: apsw.Connection) -> None:
    steps = sorted(
        (step for step in files("service.store.sqlite_migrations").iterdir() if step.name.endswith(".sql")),
        key=lambda step: step.name,
    )
    connection.transaction_mode = "IMMEDIATE"  # of several processes that start at once one migrates
    with connection:
        version = connection.pragma("user_version")
        if version > len(steps):
            raise RuntimeError(f"its schema is version {version}; this program knows up to {len(steps)}")
        for step in steps[version:]:
            connection.execute(step.read_text())
        if version < len(steps):
            connection.pragma("user_version", len(steps))


@contextmanager
def _errors_as_unavailable() -> Iterator[None]:
    try:
        yield
    except _UNAVAILABLE as error:
        raise StoreUnavailable from error
