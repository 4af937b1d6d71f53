"""What time does: sessions expire, and what nobody needs any more is removed."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

from service.identifiers import Clock
from service.store import Store

BATCH = 100
"""How many rows one step changes: a few milliseconds in which no request is written."""
_PAUSE_SECONDS = 0.005
"""Between two steps, for the requests that have queued up."""


class Housekeeping:
    """Does it, in steps that never hold the writer long.

    Args:
        store: where it is done.
        clock: the time.
        retention: how long a final sale is kept after its last change; None for ever.
    """

    def __init__(self, store: Store, *, clock: Clock, retention: timedelta | None) -> None:
        self._store = store
        self._clock = clock
        self._retention = retention

    async def run(self) -> Mapping[str, int]:
        """Do all that is due now.

        Returns:
            How many rows of which kind were changed: `expired_sessions`, `purged_access_tokens`,
            `purged_idempotency_records`, `purged_changes` and `purged_sales`.

        Raises:
            StoreUnavailable: it could not be finished; what was done is done.
        """
        now = self._clock()
        steps: dict[str, Callable[[], Awaitable[int]]] = {
            "expired_sessions": lambda: self._store.expire_sessions(now, BATCH),
            "purged_access_tokens": lambda: self._store.purge_access_tokens(now, BATCH),
            "purged_idempotency_records": lambda: self._store.purge_idempotency_records(now, BATCH),
        }
        if self._retention is not None:
            updated_before = now - self._retention
            steps["purged_changes"] = lambda: self._store.purge_changes(updated_before, BATCH)
            steps["purged_sales"] = lambda: self._store.purge_sales(updated_before, BATCH)
        return {name: await _repeat(step) for name, step in steps.items()}


async def _repeat(step: Callable[[], Awaitable[int]]) -> int:
    total = 0
    while (count := await step()) > 0:
        total += count
        await asyncio.sleep(_PAUSE_SECONDS)
    return total
