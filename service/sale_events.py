"""Keeping the requests that name sales, for those who ask later what happened to one. No request waits for that."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from contextvars import Context
from secrets import randbelow

import structlog

from service.errors import StoreUnavailable
from service.origin import Origin
from service.store import EVENTS_A_MICROSECOND, SaleEvent, Store

FLUSH_SECONDS = 0.25
"""How long an event waits for others, to be written with them: each writing keeps other workers from the database."""
_MAX_BATCH = 1024
_MAX_WAITING = 8192
"""How many wait at most while the store can't be written; more are lost."""
_MAX_MESSAGE = 256
"""Characters of a message that are kept: it may name many fields."""

_log = structlog.stdlib.get_logger(__name__)


class SaleEvents:
    """Writes events, many together.

    Args:
        store: where they are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: deque[SaleEvent] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._number = randbelow(EVENTS_A_MICROSECOND)
        self._lost = 0

    def note(
        self,
        invoice_id: str,
        rpc: str,
        begin_ns: int,
        origin: Origin,
        request_id: str,
        error_reason: int = 0,
        error_message: str | None = None,
    ) -> None:
        """Keep a request that has just been answered, soon. Of an invoice id that no sale has nothing is kept.

        Args:
            invoice_id: that it named.
            rpc: service and rpc, as in `SaleService.CheckSale`.
            begin_ns: when it was received, in nanoseconds since 1970.
            origin: where it came from.
            request_id: its id in the logs.
            error_reason: why it was refused; 0 for a success.
            error_message: what was answered, if that is not what is always said for the reason.
        """
        if len(self._waiting) >= _MAX_WAITING:
            self._lost += 1
            return
        begin = begin_ns // 1000
        self._number = (self._number + 1) % EVENTS_A_MICROSECOND
        self._waiting.append(
            SaleEvent(
                invoice_id,
                begin * EVENTS_A_MICROSECOND + self._number,
                time.time_ns() // 1000 - begin + 1,
                rpc,
                origin.caller,
                origin.address,
                request_id,
                error_reason,
                error_message and error_message[:_MAX_MESSAGE],
            )
        )
        if self._writing is None and len(self._waiting) == _MAX_BATCH:
            self._begin()
        elif self._writing is None and self._timer is None:
            self._begin_later()

    async def close(self) -> None:
        """Keep what waits; before the store is closed."""
        while self._waiting or self._writing is not None:
            if self._writing is None:
                self._begin()
            else:
                await self._writing

    def _begin_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._begin)

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # Not in the context of the request that happens to be the one too many: what is logged here is not of that one.
        self._writing = asyncio.create_task(self._write(), context=Context())

    async def _write(self) -> None:
        while True:
            count = min(_MAX_BATCH, len(self._waiting))
            await self._write_batch([self._waiting.popleft() for _ in range(count)])
            if len(self._waiting) < _MAX_BATCH:
                break
        self._writing = None
        if self._waiting:
            self._begin_later()

    async def _write_batch(self, batch: Sequence[SaleEvent]) -> None:
        try:
            await self._store.append_sale_events(batch)
        except StoreUnavailable as error:
            self._lost += len(batch)
            _log.warning("sale events not kept", fault=str(error), count=self._lost)
        except Exception as error:
            self._lost += len(batch)
            _log.error("sale events not kept", exc_info=error, count=self._lost)
        else:
            if self._lost:
                _log.warning("sale events lost", count=self._lost)
        self._lost = 0
