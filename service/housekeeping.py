"""What time does: sessions expire, and what nobody needs any more is removed."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

from service.identifiers import Clock
from service.store import Store

BATCH = 100
"""How many rows one step changes or looks at: a few milliseconds in which no request is written."""
_PAUSE_SECONDS = 0.005
"""Between two steps, for the requests that have queued up."""
_LOOK_AGAIN = timedelta(hours=1)
"""How often old sales that could not be purged are looked at again."""


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
        self._looked_up_to = ""
        self._begun: datetime | None = None

    async def run(self) -> Mapping[str, int]:
        """Do all that is due now.

        Returns:
            How many rows of which kind were changed: `expired_sessions`, `purged_access_tokens`,
            `purged_idempotency_records`, `purged_blocks`, `purged_limit_uses`, and with a retention `purged_changes`
            and `purged_sales`.

        Raises:
            StoreUnavailable: it could not be finished; what was done is done.
        """
        counts = {
            "expired_sessions": await _repeat(lambda: self._store.expire_sessions(self._clock(), BATCH)),
            "purged_access_tokens": await _repeat(lambda: self._store.purge_access_tokens(self._clock(), BATCH)),
            "purged_idempotency_records": await _repeat(
                lambda: self._store.purge_idempotency_records(self._clock(), BATCH)
            ),
            "purged_blocks": await _repeat(lambda: self._store.purge_blocks(self._clock(), BATCH)),
            "purged_limit_uses": await _repeat(lambda: self._store.purge_limit_uses(self._clock(), BATCH)),
        }
        if self._retention is not None:
            kept_since = self._clock() - self._retention
            counts["purged_changes"] = await _repeat(lambda: self._store.purge_changes(kept_since, BATCH))
            counts["purged_sales"] = await self._purge_sales(kept_since)
        return counts

    async def _purge_sales(self, kept_since: datetime) -> int:
        now = self._clock()
        if self._begun is None or self._begun + _LOOK_AGAIN <= now:
            self._looked_up_to, self._begun = "", now
        total, end, may_go_on_there = 0, self._looked_up_to, True
        while True:
            step = await self._store.purge_sales(kept_since, end, BATCH)
            total += step.removed
            if step.end is None:
                return total
            # Where the time of some comes soon, the next run begins; those that never end are looked at now and then.
            may_go_on_there = may_go_on_there and not step.leaves_final
            end = step.end
            if may_go_on_there:
                self._looked_up_to = end
            await asyncio.sleep(_PAUSE_SECONDS)


async def _repeat(step: Callable[[], Awaitable[int]]) -> int:
    total = 0
    while (count := await step()) > 0:
        total += count
        await asyncio.sleep(_PAUSE_SECONDS)
    return total
