"""Sales for the merchant's own systems: one, a list of them, and every change as it happens."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta

from service.errors import ErrorReason, FieldViolation, SaleError, StoreUnavailable
from service.identifiers import microseconds
from service.pages import next_token, page_of
from service.sale_timeline import TimelineEntry, timeline_of
from service.store import PositionUnknown, Sale, SaleChange, SaleFilter, StatusReport, Store

_BATCH = 100
"""How many changes are read, and held in memory, at once."""
_KEPT_BATCHES = 4
_MAX_LOOKS = 10
"""How often the store is asked for one page."""


class SaleReader:
    """Reads sales.

    Args:
        store: where they are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stopping = False
        self._read: dict[int, Sequence[SaleChange]] = {}
        self._places: dict[int, datetime | None] = {}
        """Of each that watches: when the change was made that it takes now; None for one that waits for changes."""
        self._numbers = itertools.count()
        self.shared_reads = 0
        """How often what one reader had read served another."""
        self.own_reads = 0
        """How often the store was asked for changes."""

    async def get(self, invoice_id: str) -> tuple[Sale, Sequence[StatusReport]]:
        """Return a sale, and what was reported about its result in the order in which it was received.

        Raises:
            SaleError: `ERROR_REASON_INVOICE_NOT_FOUND`.
        """
        found = await self._store.find_sale_and_reports(invoice_id)
        if found is None:
            raise SaleError(ErrorReason.ERROR_REASON_INVOICE_NOT_FOUND)
        return found

    async def timeline(self, invoice_id: str) -> tuple[Sale, Sequence[TimelineEntry]]:
        """Return a sale, and what has happened to it in the order of time.

        Raises:
            SaleError: `ERROR_REASON_INVOICE_NOT_FOUND`.
        """
        sale, reports = await self.get(invoice_id)
        return sale, timeline_of(sale, reports, await self._store.list_sale_events(invoice_id))

    async def list(
        self, filter: SaleFilter, page_token: str | None = None, page_size: int = 0
    ) -> tuple[Sequence[Sale], str]:
        """Return a page of sales, the latest first, and the token of the next page.

        Args:
            filter: which sales.
            page_token: of the page before, for the first page none.
            page_size: how many at most; 0 for the usual number. There can be fewer, and more to come, where the filter
                leaves out very much.

        Raises:
            SaleError: `ERROR_REASON_INVALID_FIELD`, the token is not one of this list.
        """
        named = (
            filter.state,
            filter.endpoint_id,
            filter.consumer_id,
            filter.client_card_id,
            filter.start_time and microseconds(filter.start_time),
            filter.end_time and microseconds(filter.end_time),
        )
        page = page_of(page_token, page_size, *named)
        sales: list[Sale] = []
        end = page.before
        for _ in range(_MAX_LOOKS):
            found = await self._store.list_sales(filter, end, page.size + 1 - len(sales))
            sales.extend(found.sales)
            end = found.end
            if end is None or len(sales) > page.size:
                break
            await asyncio.sleep(0)  # others have their turn
        if len(sales) > page.size:
            end = sales[page.size - 1].invoice_id
        return sales[: page.size], next_token(end, *named)

    async def watch_since(self, moment: datetime) -> AsyncGenerator[SaleChange, None]:
        """Yield every change that was made at this moment or later, and then all that follow, as `watch` does.

        Args:
            moment: the moment; one that is still to come counts as the present.

        Raises:
            SaleError: `ERROR_REASON_SERVER_UNAVAILABLE`, the server stops.
        """
        known = await self._store.last_position()
        async with aclosing(self._watch(await self._store.position_before(moment), known)) as changes:
            async for change in changes:
                # Changes are not quite in the order of their times: each is made a little before its commit.
                if change.position > known or change.sale.update_time >= moment:
                    yield change

    async def watch(self, after: int | None = None) -> AsyncGenerator[SaleChange, None]:
        """Yield every change of every sale, each once, in the order of the commits, and wait for more.

        Args:
            after: position of the change before; None for the oldest that is kept.

        Raises:
            SaleError: ERROR_REASON_INVALID_FIELD, what follows that position is not kept, or there is no such one;
                _SERVER_UNAVAILABLE, the server stops.
        """
        begin, known = (0, await self._store.last_position()) if after is None else (after, 0)
        async with aclosing(self._watch(begin, known)) as changes:
            async for change in changes:
                yield change

    def delays(self, now: datetime) -> Sequence[timedelta]:
        """Return by how much each that watches is behind what has happened.

        Args:
            now: the present.
        """
        return [timedelta() if place is None else max(timedelta(), now - place) for place in self._places.values()]

    async def _watch(self, after: int, known: int) -> AsyncGenerator[SaleChange, None]:
        number = next(self._numbers)
        self._places[number] = None
        try:
            # Up to the position that was the last one when it began, a reader without a cursor takes what is kept.
            while not self._stopping:
                changes = await self._kept_changes_after(after, skip_purged=after < known)
                for change in changes:
                    self._places[number] = change.sale.update_time
                    yield change
                    after = change.position
                if changes:
                    await asyncio.sleep(0)  # others have their turn, also where nothing of it is told
                elif after < known:
                    after = known
                else:
                    self._places[number] = None
                    await self._store.wait_for_change()
        finally:
            del self._places[number]
        raise StoreUnavailable("The server stops; resume from the last cursor.")

    async def _kept_changes_after(self, after: int, *, skip_purged: bool) -> Sequence[SaleChange]:
        try:
            return await self._changes_after(after, skip_purged=skip_purged)
        except PositionUnknown:
            raise SaleError.invalid_fields(
                [FieldViolation("cursor", "is of no change that is kept; begin without it")]
            ) from None

    async def _changes_after(self, after: int, *, skip_purged: bool) -> Sequence[SaleChange]:
        # Readers that keep up are all at the same place: what one has read serves the others.
        if (changes := self._read.get(after)) is not None:
            self.shared_reads += 1
        else:
            self.own_reads += 1
            changes = await self._store.list_changes(after, _BATCH, skip_purged=skip_purged)
            if changes and not skip_purged:
                self._read[after] = changes
            if len(self._read) > _KEPT_BATCHES:
                del self._read[next(iter(self._read))]
        return changes

    def stop(self) -> None:
        """End all that watch."""
        self._stopping = True
