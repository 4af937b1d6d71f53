"""Durable storage: what every store promises, whatever its engine.

Each method is one atomic step, and what it wrote is durable (on the disk) when it returns.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from service.store.records import (
    EVENTS_A_MICROSECOND,
    AuditEntry,
    AuditLink,
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

__all__ = [
    "EVENTS_A_MICROSECOND",
    "MAX_OTHER_REPORTS",
    "MAX_SALE_EVENTS",
    "AuditEntry",
    "AuditLink",
    "Block",
    "BlockKey",
    "ChainedEntry",
    "Charge",
    "IdempotencyRecord",
    "IdentifierTaken",
    "LimitReached",
    "PositionUnknown",
    "PurgeStep",
    "Sale",
    "SaleChange",
    "SaleEvent",
    "SaleFilter",
    "SalePage",
    "StatusReport",
    "Store",
    "StoredAccessToken",
    "StoredCard",
    "UnchainedEntries",
]


MAX_OTHER_REPORTS = 50
"""How many reports are kept of one sale that tell of nothing known: a checksum does not cover all that they say."""


MAX_SALE_EVENTS = 200
"""How many requests are kept of one sale: the first ones and the last ones, as many of each."""


class IdentifierTaken(Exception):
    """Another sale has this invoice id or nonce already. Nothing was stored."""


class PositionUnknown(Exception):
    """The changes after this position can't be read one by one: some were purged, or there was no change there."""


class Store(Protocol):
    """Stores sales, what happens to them, cards, access tokens, idempotency records and the audit log.

    Every method raises `service.errors.StoreUnavailable` when the store can't be read or written. One that changes a
    stored sale raises `SaleError` with ERROR_REASON_INVOICE_NOT_FOUND when that was purged since it was found. Every
    change of a sale, by whatever method, is kept as a `SaleChange` in the same step.

    What `bind_check` and `find_idempotency_record` find is durable as well: repeated requests are acknowledged by it.

    A method that takes an audit entry keeps it in the same step if, and only if, it changes something. Of the audit log
    nothing is ever changed or removed, by no method.
    """

    async def open_session(
        self, sale: Sale, record: IdempotencyRecord | None, charges: Sequence[Charge] = ()
    ) -> IdempotencyRecord | LimitReached | None:
        """Store a new sale, and with it the record of its idempotency key if it has one, where all limits have room.

        Args:
            sale: the sale.
            record: the record; a stored one with the same token and key, not expired at `sale.initiate_time`, wins.
            charges: what the sale takes of limits, one each.

        Returns:
            None if the sale was stored; otherwise the record that won, or that a limit has no room. Then nothing was
            stored, and nothing was taken of any limit.

        Raises:
            IdentifierTaken: the invoice id or the nonce is not new.
        """

    async def find_sale(self, invoice_id: str) -> Sale | None:
        """Return the sale with this invoice id, if there is one."""

    async def find_own_sale(self, invoice_id: str, access_token_hash: bytes, serial_number: str) -> Sale | None:
        """Return the sale with this invoice id, if it was initiated with this access token from this device."""

    async def has_sale(self, invoice_id: str) -> bool:
        """Tell whether there is a sale with this invoice id, whosever."""

    async def find_sale_by_session(
        self, session_token: str, access_token_hash: bytes, serial_number: str
    ) -> Sale | None:
        """Return the sale of this access token and device that this session token is bound to, if there is one.

        Of several it is the one that was initiated last.
        """

    async def find_invoices_of_session(self, session_token: str, limit: int) -> Sequence[str]:
        """Return the invoice ids of sales that this session token is bound to, whosever; at most so many, of any."""

    async def list_sales(
        self, filter: SaleFilter, beyond: str | None, limit: int, *, oldest_first: bool = False
    ) -> SalePage:
        """Return sales in the order of their invoice ids, that is of time, after a bounded look.

        Args:
            filter: which ones.
            beyond: only those that come after the one with this invoice id.
            limit: how many at most.
            oldest_first: whether the oldest come first; otherwise the latest do.
        """

    async def count_sales(self, filter: SaleFilter) -> int:
        """Return how many sales there are."""

    async def bind_check(self, invoice_id: str, session_token: str, client_card_id: str | None, now: datetime) -> Sale:
        """Bind the payment gateway's session token to a sale, and move it to CHECKED, where it is INITIATED.

        Args:
            invoice_id: a stored sale's.
            session_token: the token of this check.
            client_card_id: the card that is paid with, if it is a saved one.
            now: when it was checked.

        Returns:
            The sale as it is now: of several checks that race, all are told the same one.
        """

    async def report_status(self, report: StatusReport, *, must_move: bool) -> Sale | None:
        """Store a report about a sale and make the legal moves that all its reports ask for; a repeated report is none.

        Only what is known to tell of the end of a sale names its order and flags its amount; the rest is kept.

        Args:
            report: about a stored sale.
            must_move: store it only if the sale is, or comes, where it asks for.

        Returns:
            The sale as it is now; None if it had to move and could not, or if there are `MAX_OTHER_REPORTS` already
            that tell of nothing known and this is one more, and nothing was stored.
        """

    async def find_sale_and_reports(self, invoice_id: str) -> tuple[Sale, Sequence[StatusReport]] | None:
        """Return the sale with this invoice id, if there is one, and what was reported about it in order of arrival."""

    async def append_sale_events(self, events: Sequence[SaleEvent]) -> None:
        """Keep requests that named sales.

        Those that name none that is stored are left out, as is what was kept before, and of each sale all but
        `MAX_SALE_EVENTS`.
        """

    async def list_sale_events(self, invoice_id: str) -> Sequence[SaleEvent]:
        """Return the requests that named this sale, in the order of time."""

    async def count_random_sum_answer(self, invoice_id: str, *, failed: bool) -> int:
        """Count an answer to the random sum of a sale, if it was wrong.

        Args:
            invoice_id: a stored sale's.
            failed: whether it was.

        Returns:
            How many wrong ones were counted before this one.
        """

    async def list_changes(self, after: int, limit: int, *, skip_purged: bool = False) -> Sequence[SaleChange]:
        """Return changes of sales in the order in which they were committed.

        Args:
            after: position of the change before; 0 for the beginning.
            limit: how many at most.
            skip_purged: whether to leave out what was purged without a word.

        Raises:
            PositionUnknown: changes after it were purged, or their sales, or no change has got as far.
        """

    async def position_before(self, moment: datetime) -> int:
        """Return a position after which all changes are that were made at this moment or later.

        It is the last one before them, unless clocks disagreed.
        """

    async def last_position(self) -> int:
        """Return the position of the last change; 0 if there is none."""

    async def wait_for_change(self) -> None:
        """Return soon after a change was committed, here or in another process; sometimes without one."""

    async def map_card(self, invoice_id: str, card: StoredCard, audit: AuditEntry) -> None:
        """Store the card that a sale was paid with, and name it as the sale's, unless that has a later one.

        The same consumer's card with the same endpoint and server card id is the same card; it stays as it is. One that
        was deleted since the sale was checked stays deleted.

        Args:
            invoice_id: a stored sale's.
            card: the card, if it is a new one.
            audit: kept if it is.
        """

    async def add_card(self, card: StoredCard, audit: AuditEntry) -> None:
        """Store a new card."""

    async def find_card(self, consumer_id: str, client_card_id: str) -> StoredCard | None:
        """Return the consumer's card with this id, if there is one that is not deleted."""

    async def list_cards(self, consumer_id: str, before: str | None, limit: int) -> Sequence[StoredCard]:
        """Return a consumer's cards that are not deleted, by descending client card id, that is the latest first.

        Args:
            consumer_id: whose.
            before: only those with a smaller client card id.
            limit: how many at most.
        """

    async def replace_card(self, card: StoredCard, expected: StoredCard, audit: AuditEntry | None) -> bool:
        """Store a card in the place of what it was.

        Args:
            card: the card, with the same client card id and consumer.
            expected: what has to be stored now, or nothing is changed.
            audit: what is to be kept of it, if anything is.

        Returns:
            Whether it was.
        """

    async def list_cards_sealed_otherwise(self, vault_key_id: str, after: str, limit: int) -> Sequence[StoredCard]:
        """Return the cards whose data is encrypted under another key, by ascending client card id.

        Args:
            vault_key_id: the key.
            after: only those with a larger client card id.
            limit: how many at most.
        """

    async def find_idempotency_record(
        self, access_token_hash: bytes, idempotency_key: str, now: datetime
    ) -> IdempotencyRecord | None:
        """Return the record of this token and key that is not expired, if there is one and its sale is not purged."""

    async def add_access_token(self, token: StoredAccessToken, audit: AuditEntry) -> None:
        """Store a new access token."""

    async def find_access_token(self, hash: bytes) -> StoredAccessToken | None:
        """Return the access token with this SHA-256, if there is one."""

    async def revoke_access_token(self, hash: bytes, now: datetime, audit: AuditEntry) -> None:
        """Mark an access token as revoked. An unknown or already revoked one stays as it is."""

    async def revoke_consumer_tokens(self, consumer_id: str, now: datetime, audit: AuditEntry) -> int:
        """Mark a consumer's access tokens as revoked; return how many there were that were not, and not expired."""

    async def append_audit_entry(self, entry: AuditEntry) -> None:
        """Keep what has no other effect here."""

    async def list_audit_entries(self, after: int, limit: int) -> Sequence[ChainedEntry]:
        """Return audit entries in the order of the chain.

        Args:
            after: position of the entry before; 0 for the beginning.
            limit: how many at most.
        """

    async def count_unchained_audit_entries(self) -> UnchainedEntries:
        """Return how many audit entries are not in the chain; it looks at all that there are."""

    async def put_block(self, block: Block, audit: AuditEntry) -> None:
        """Store a block, in the place of the one with its key if there is one."""

    async def remove_block(self, key: BlockKey, audit: AuditEntry) -> None:
        """Remove a block, if there is one."""

    async def list_blocks(
        self, kind: str | None, beyond: BlockKey | None, limit: int, now: datetime
    ) -> Sequence[Block]:
        """Return the blocks that are not expired, in the order of their keys.

        Args:
            kind: only those of this kind; None for all.
            beyond: only those with a larger key.
            limit: how many at most.
            now: the time.
        """

    async def find_block_shapes(self) -> Collection[tuple[str, int]]:
        """Return the kinds and prefix lengths that blocks have, at a cost that does not grow with the blocks."""

    async def has_block(self, keys: Sequence[BlockKey], now: datetime) -> bool:
        """Tell whether there is a block with one of these keys that is not expired."""

    async def expire_sessions(self, now: datetime, limit: int) -> int:
        """Move sales that are still INITIATED, and whose time is over, to EXPIRED; return how many.

        Of the oldest ones only: of a session with a shorter time than an older one, that one's end may be waited for.
        """

    async def purge_access_tokens(self, now: datetime, limit: int) -> int:
        """Remove access tokens that have expired; return how many."""

    async def purge_idempotency_records(self, now: datetime, limit: int) -> int:
        """Remove idempotency records that have expired; return how many."""

    async def purge_blocks(self, now: datetime, limit: int) -> int:
        """Remove blocks that have expired; return how many."""

    async def purge_limit_uses(self, now: datetime, limit: int) -> int:
        """Remove uses of limits of which all has come back; return how many."""

    async def purge_changes(self, made_before: datetime, limit: int) -> int:
        """Remove the oldest changes, as long as all up to there were made before this moment; return how many.

        Args:
            made_before: the moment.
            limit: how many at most.
        """

    async def purge_sales(self, updated_before: datetime, beyond: str, limit: int) -> PurgeStep:
        """Remove final sales that did not change since, with their reports and events.

        Their changes are purged before: whoever comes to one of a sale that is not there any more is told.

        Args:
            updated_before: the moment.
            beyond: only sales with a larger invoice id; empty for all.
            limit: how many to look at.

        Returns:
            What it came to.
        """

    async def ping(self) -> None:
        """Return when the store can be written."""

    async def close(self) -> None:
        """Finish what was begun and let go of the store. No other method may be called after it."""
