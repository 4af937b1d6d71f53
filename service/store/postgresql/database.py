"""Connections to whichever server takes writes, and work on them that survives the loss of a server.

What fails is tried again only where that can't do a thing twice. When a connection is lost within a write, or the
server gives up waiting for its synchronous standby, nobody knows whether the write is durable. Then it is made once
more: it finds out whether it was made before. And before that is acknowledged, a further commit is waited for: what was
found may have been on one server only, and commits reach a standby in their order.
"""

import asyncio
import random
import socket
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, nullcontext, suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import asyncpg
import structlog
from asyncpg.exceptions import InternalClientError, OutdatedSchemaCacheError, TargetServerAttributeNotMatched

from service.errors import StoreUnavailable

ResultT = TypeVar("ResultT")
Work = Callable[["Connection"], Awaitable[ResultT]]
"""Statements; may be called again, on another connection."""

PATIENCE_SECONDS = 4.0
"""How long whoever asks waits for the database: within the default deadline of a call."""
_CONNECT_SECONDS = 2.0
_RETRY_SECONDS = 0.02, 0.1
"""Pause before another try; at random, so that not all come at once."""
_SILENCE_SECONDS = 5
"""After so long without a sign of life a server's host counts as gone."""
_SUSPECT_SECONDS, _LOOK_SECONDS = 1.0, 0.25
"""How long work may wait for its server before it is looked, and how often, whether another one has taken over."""
_KEPT_FOR_READS = 2
"""Connections that no write takes: commits may all be waiting for a standby."""
_IDLE_IN_TRANSACTION_MS = 10_000

_log = structlog.stdlib.get_logger(__name__)

_CONNECTION_ENDS = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    OSError,
)
"""After these nobody knows what became of a transaction. `OSError` includes `TimeoutError`."""
_UNDONE = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidCachedStatementError,
    OutdatedSchemaCacheError,
)
"""The transaction was rolled back, and another try can succeed."""
_REFUSED = (
    asyncpg.InsufficientResourcesError,  # the disk is full, say
    asyncpg.OperatorInterventionError,  # a statement took longer than it may, say
    asyncpg.LockNotAvailableError,
    asyncpg.PostgresSystemError,
    asyncpg.InternalServerError,
)
"""The transaction was rolled back, and another try would meet the same."""
_CONNECT_FAILURES = (
    *_CONNECTION_ENDS,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    InternalClientError,
    TargetServerAttributeNotMatched,
)
"""What is raised when a server can't be connected to."""
_COMMIT_SOMETHING = "SELECT 1 FROM store_use FOR UPDATE"
"""Changes nothing, but is written to the log, so that its commit waits for the standby."""
_SELECT_HISTORY = (
    "SELECT system_identifier, CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_walfile_name(pg_current_wal_lsn()) END"
    " FROM pg_control_system()"
)
_TIMELINE_DIGITS = 8
"""With so many hexadecimal digits the name of a server's log begins: the number of promotions in its history."""
_WAIT_FOR_STANDBY = "SyncRepWaitForLSN"
"""Where in the server the warning is from with which it gives up waiting for its standby; it tells of a success."""


if TYPE_CHECKING:
    _AnyConnection = asyncpg.Connection[asyncpg.Record]
else:
    _AnyConnection = asyncpg.Connection  # generic in the stubs only


class NoServer(Exception):
    """None of the hosts has a server that takes writes and lets us in; the message tells why of each.

    Args:
        message: that.
        refuses_password: whether a server refused for the password, or for want of one.
    """

    def __init__(self, message: str, *, refuses_password: bool) -> None:
        super().__init__(message)
        self.refuses_password = refuses_password


class Connection(_AnyConnection):
    """A connection that notices when the other host is gone: one that lost its power sends no farewell."""

    def __init__(self, protocol: Any, transport: Any, *arguments: Any) -> None:
        super().__init__(protocol, transport, *arguments)
        self.has_not_waited = False
        """Whether the server has given up waiting for its standby since work on it began."""
        self.add_log_listener(self._on_warning)
        self.peer = transport.get_extra_info("peername")
        """The address of the other end."""
        self.history: tuple[int, int] | None = None
        """Which cluster the server is of, and which promotion let it take writes; None if that is unknown."""
        connected = transport.get_extra_info("socket")
        if connected is None or connected.family == getattr(socket, "AF_UNIX", None):
            return
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (
            ("TCP_KEEPIDLE", 2),
            ("TCP_KEEPINTVL", 1),
            ("TCP_KEEPCNT", _SILENCE_SECONDS - 2),
            ("TCP_USER_TIMEOUT", _SILENCE_SECONDS * 1000),
        ):
            if hasattr(socket, name):  # not every system has each
                connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def _on_warning(self, _: Any, warning: asyncpg.PostgresLogMessage) -> None:
        if getattr(warning, "server_source_function", None) == _WAIT_FOR_STANDBY:
            self.has_not_waited = True

    async def read_history(self) -> None:
        """Set `history`, if the server tells it: not every service that is called PostgreSQL does."""
        with suppress(asyncpg.PostgresError):
            for cluster, log in await self.fetch(_SELECT_HISTORY):
                self.history = None if log is None else (int(cluster), int(log[:_TIMELINE_DIGITS], 16))

    def is_superseded_by(self, history: tuple[int, int] | None) -> bool:
        """Tell whether another server was promoted since this one was."""
        if self.history is None or history is None:
            return False
        (cluster, promotion), (other_cluster, later) = self.history, history
        return cluster == other_cluster and promotion < later

    def is_elsewhere(self, current: "Connection") -> bool:
        """Tell whether the server is not the one that takes writes now."""
        if self.history is None or current.history is None:
            return bool(self.peer != current.peer)
        return self.is_superseded_by(current.history)


@asynccontextmanager
async def within_patience(deadline: float | None = None) -> AsyncIterator[None]:
    """Give up what takes too long.

    Args:
        deadline: until when it may take, on the monotonic clock; `PATIENCE_SECONDS` from now if it is left out.

    Raises:
        StoreUnavailable: it did.
    """
    seconds = PATIENCE_SECONDS if deadline is None else max(0.0, deadline - time.monotonic())
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise StoreUnavailable from None


async def commit_something(connection: Connection) -> None:
    """Commit what changes nothing: everything that is visible before is durable after it."""
    await connection.execute(_COMMIT_SOMETHING)


class Database:
    """A PostgreSQL database, on whichever of its hosts takes writes.

    Args:
        url: as libpq knows it; several hosts are separated by commas.
        password: returns the password at the time of connecting; None leaves it to the URL and to libpq's other ways.
        connections: how many at most.
        statement_timeout: how long a statement of a request may take; None where there are no requests, and what is
            read takes as long as it takes. It does not end a commit that waits for a standby.
    """

    def __init__(
        self,
        url: str,
        *,
        password: Callable[[], str | None] = lambda: None,
        connections: int = 10,
        statement_timeout: timedelta | None = None,
    ) -> None:
        self._urls = _one_for_each_host(url)
        self._password = password
        self._options: dict[str, Any] = {}
        if "target_session_attrs" not in parse_qs(urlsplit(url).query):
            self._options["target_session_attrs"] = "read-write"
        self._is_for_requests = statement_timeout is not None
        milliseconds = 0 if statement_timeout is None else statement_timeout // timedelta(milliseconds=1)
        # Not when it connects: a pooler would refuse them there.
        self._session = (
            f"SET default_transaction_isolation = 'read committed'; SET statement_timeout = {milliseconds};"
            f" SET idle_in_transaction_session_timeout = {_IDLE_IN_TRANSACTION_MS}; SET client_min_messages = warning"
        )
        # Not asyncpg's pool: it resets a connection after each use, in a round trip of its own, and takes one that is
        # lost from whoever has to find out what was lost with it.
        self._idle: list[Connection] = []
        self._connecting = asyncio.Lock()
        self._free = asyncio.Semaphore(connections)
        self._writers = asyncio.Semaphore(max(1, connections - _KEPT_FOR_READS))
        self._running: set[asyncio.Task[Any]] = set()
        self._at_work: dict[Connection, float] = {}
        self._made: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._watching: asyncio.Task[None] | None = None
        self._latest: tuple[int, int] | None = None
        """`history` of the server that took over last."""
        self._reachable = True
        self.limit = connections
        """How many connections there are at most."""
        self.retries = 0
        """How often work was tried again."""

    @property
    def in_use(self) -> int:
        """How many connections work."""
        return len(self._at_work)

    async def close(self) -> None:
        """Return once what was begun is done, and the connections are closed; what never ends is given up."""
        with suppress(StoreUnavailable):
            async with within_patience():
                while self._running:
                    await asyncio.wait(self._running)
        if self._watching is not None:
            self._watching.cancel()
        for connection in [*self._at_work, *self._idle]:
            connection.terminate()

    async def read(self, work: Work[ResultT]) -> ResultT:
        """Do what changes nothing.

        Raises:
            StoreUnavailable: the database can't be read.
        """
        async with within_patience() if self._is_for_requests else nullcontext():
            return await self._to_its_end(self._repeat(work, is_write=False, repeatable=True))

    async def write(self, work: Work[ResultT], *, repeatable: bool = True) -> ResultT:
        """Do what is durable when this returns.

        It goes on also when whoever waits for it is gone or has lost patience: a commit that waits for a standby must
        not be cancelled, for the server would call that a success.

        Args:
            work: one transaction.
            repeatable: whether doing it once more, where it may have been done, finds that out and gives the same.

        Raises:
            StoreUnavailable: it was not made durable, or nobody knows.
        """
        async with within_patience():
            return await self._to_its_end(self._write(work, repeatable=repeatable))

    async def connect(self, seconds: float = _CONNECT_SECONDS) -> Connection:
        """Return a connection that is nobody else's; whoever asked for it closes it.

        Args:
            seconds: how long it may take.

        Raises:
            NoServer: there is none.
            Exception: whatever else kept it from being made.
        """
        attempts = {asyncio.create_task(self._connect_to(url, seconds)): url for url in self._urls}
        winner = None
        try:
            # Of several hosts, one that does not answer must not keep us from the one that took over.
            for attempt in asyncio.as_completed(attempts):
                with suppress(*_CONNECT_FAILURES):
                    winner = await attempt
                    self._made.add(winner)
                    return winner
        finally:
            for task in attempts:
                task.cancel()
                task.add_done_callback(partial(_discard, winner))
        raise _no_server({url: task.exception() for task, url in attempts.items()})

    def keep(self, connection: Connection) -> None:
        """Use a connection that `connect` has returned for the next work, instead of a new one."""
        self._idle.append(connection)

    async def _connect_to(self, url: str, seconds: float) -> Connection:
        connection = await asyncpg.connect(
            url,
            timeout=seconds,
            password=self._password(),
            connection_class=Connection,
            server_settings={"application_name": "sale-service"},
            **self._options,
        )
        try:
            async with asyncio.timeout(seconds):
                await connection.execute(self._session)
                await connection.read_history()
            self._require_latest(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _require_latest(self, connection: Connection) -> None:
        # A primary that hung, or was cut off, takes itself for one still: what it shows is old, and its commits wait
        # for a standby that has left it.
        if connection.is_superseded_by(self._latest):
            raise TargetServerAttributeNotMatched("another server has been promoted since")
        self._latest = connection.history or self._latest
        self._leave(lambda other: other.is_superseded_by(self._latest))

    async def _to_its_end(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        # What is cut short within a transaction would leave its connection there.
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked was told, or is gone

    async def _write(self, work: Work[ResultT], *, repeatable: bool) -> ResultT:
        async with within_patience():
            await self._writers.acquire()
        try:
            return await self._repeat(work, is_write=True, repeatable=repeatable)
        finally:
            self._writers.release()

    async def _repeat(self, work: Work[ResultT], *, is_write: bool, repeatable: bool) -> ResultT:
        deadline = time.monotonic() + PATIENCE_SECONDS
        in_doubt = False
        while True:
            try:
                return await self._attempt(work, deadline, in_doubt=in_doubt and is_write)
            except _InDoubt as doubt:
                in_doubt, cause = True, doubt.__cause__
                if not repeatable:
                    raise StoreUnavailable from cause
            except _Undone as undone:
                cause = undone.__cause__
            if time.monotonic() >= deadline:
                raise StoreUnavailable from cause
            self.retries += 1
            await _pause()

    async def _attempt(self, work: Work[ResultT], deadline: float, *, in_doubt: bool) -> ResultT:
        async with self._connection(deadline) as connection:
            try:
                result = await work(connection)
                if in_doubt:
                    await commit_something(connection)
            except asyncpg.DataError:
                raise
            except Exception as error:
                if connection.is_closed() or isinstance(error, _CONNECTION_ENDS):
                    connection.terminate()
                    raise _InDoubt from error
                if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
                    self._close_idle()
                    connection.terminate()  # the server has become a standby
                if isinstance(error, _UNDONE):
                    raise _Undone from error
                if isinstance(error, _REFUSED):
                    _log.warning("store refuses", fault=first_line(error), sqlstate=error.sqlstate)
                    raise StoreUnavailable from error
                raise
            if connection.has_not_waited:
                _log.warning("store committed without its standby")
                raise _InDoubt
            return result

    @asynccontextmanager
    async def _connection(self, deadline: float) -> AsyncIterator[Connection]:
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())
        async with within_patience(deadline):
            await self._free.acquire()
        try:
            connection = await self._idle_or_new(deadline)
            self._at_work[connection] = time.monotonic()
            connection.has_not_waited = False
            try:
                yield connection
            except asyncio.CancelledError:
                connection.terminate()  # it may have begun a transaction that nobody ends
                raise
            finally:
                del self._at_work[connection]
                if not connection.is_closed():
                    self._idle.append(connection)
        finally:
            self._free.release()

    async def _idle_or_new(self, deadline: float) -> Connection:
        if (idle := self._pop_idle()) is not None:
            return idle
        # One at a time: hundreds that come back at once would keep a server from coming up.
        async with within_patience(deadline), self._connecting:
            while True:
                if (idle := self._pop_idle()) is not None:
                    return idle
                try:
                    connection = await self.connect()
                except NoServer as error:
                    self._note_reachable(False, fault=str(error))
                    await _pause()
                else:
                    self._note_reachable(True)
                    return connection

    def _pop_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None

    def _note_reachable(self, reachable: bool, **more: str) -> None:
        if reachable != self._reachable:
            self._reachable = reachable
            if reachable:
                _log.info("connected to the store again")
            else:
                _log.warning("connecting to the store fails", **more)

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().terminate()

    async def _watch(self) -> None:
        # A server that hangs closes nothing and answers nothing: neither would a commit that waits for its standby,
        # which must not be given up. The difference is whether another server takes writes.
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            begun_before = time.monotonic() - _SUSPECT_SECONDS
            if any(begun < begun_before for begun in self._at_work.values()):
                try:
                    current = await self.connect()
                except NoServer:
                    continue
                except Exception as error:
                    _log.error("store not looked for", exc_info=error)  # once more is better than never again
                    continue
                self._leave_all_but(current)
                current.terminate()

    def _leave_all_but(self, current: Connection) -> None:
        self._leave(lambda other: other.is_elsewhere(current))

    def _leave(self, is_left: Callable[[Connection], bool]) -> None:
        left_behind = [connection for connection in self._made if not connection.is_closed() and is_left(connection)]
        if left_behind:
            _log.warning("store has moved", connections=len(left_behind))
        for connection in left_behind:
            connection.terminate()


class _InDoubt(Exception):
    """Nobody knows whether a transaction was committed; the cause is the error, if there was one."""


class _Undone(Exception):
    """A transaction was rolled back by the error that is the cause, and another try can succeed."""


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _no_server(faults: Mapping[str, BaseException | None]) -> NoServer:
    return NoServer(
        "; ".join(f"{_host(url)}: {first_line(fault)}" for url, fault in faults.items()),
        refuses_password=any(isinstance(fault, asyncpg.InvalidPasswordError) for fault in faults.values()),
    )


def first_line(error: BaseException | None) -> str:
    """Return the first line of an error's text: further ones can hold values of a row."""
    return str(error).partition("\n")[0] or type(error).__name__


async def _pause() -> None:
    await asyncio.sleep(random.uniform(*_RETRY_SECONDS))  # noqa: S311  # no secret


def _discard(winner: Connection | None, task: asyncio.Task[Connection]) -> None:
    if not task.cancelled() and task.exception() is None and task.result() is not winner:
        task.result().terminate()


def _one_for_each_host(url: str) -> list[str]:
    parts = urlsplit(url)
    credentials, at, hosts = parts.netloc.rpartition("@")
    return [parts._replace(netloc=f"{credentials}{at}{host}").geturl() for host in hosts.split(",")]
