"""Chaining audit entries soon after they were committed: by whichever node has written one, in batches."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from service.errors import StoreUnavailable
from service.store.postgresql.audit_log import BATCH

_GATHER_SECONDS = 0.1
"""For how long entries are gathered before they are chained."""
_RETRY_SECONDS = 1.0

_log = structlog.stdlib.get_logger(__name__)


class AuditChaining:
    """Chains what waits for it.

    Args:
        chain: chains a batch, and returns how many entries it had.
    """

    def __init__(self, chain: Callable[[], Awaitable[int]]) -> None:
        self._chain = chain
        self.failures = 0
        """How often it failed."""
        self._wanted = False
        self._running: asyncio.Task[None] | None = None

    def begin_soon(self) -> None:
        """Chain soon what waits now, also what another node has left behind."""
        self._wanted = True
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Chain what waits now, if that is possible; otherwise a node that starts does."""
        if self._running is None:
            return
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        with suppress(StoreUnavailable):
            await self._chain_all()

    async def _run(self) -> None:
        while self._wanted:
            await asyncio.sleep(_GATHER_SECONDS)
            self._wanted = False
            try:
                await self._chain_all()
            except StoreUnavailable as error:
                _log.warning("audit entries not chained", fault=str(error))
                self.failures += 1
                self._wanted = True
                await asyncio.sleep(_RETRY_SECONDS)
            except Exception as error:
                _log.error("audit entries not chained", exc_info=error)  # tried again with the next ones
                self.failures += 1

    async def _chain_all(self) -> None:
        while await self._chain() >= BATCH:
            pass
