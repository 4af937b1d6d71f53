"""Sales that go through a store step by step, and what the store must still hold of them after a failure."""

import asyncio
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from service.errors import StoreUnavailable
from service.identifiers import new_audit_entry_id, new_client_card_id, new_invoice_id, new_nonce
from service.sale_states import SaleState
from service.store import (
    AuditEntry,
    IdempotencyRecord,
    LimitReached,
    Sale,
    StatusReport,
    Store,
    StoredAccessToken,
    StoredCard,
)

NOW = datetime(2026, 11, 21, tzinfo=UTC)
LATER = NOW + timedelta(days=30)
STATES = [
    SaleState.SALE_STATE_INITIATED,
    SaleState.SALE_STATE_CHECKED,
    SaleState.SALE_STATE_CHECKED,  # it names a card
    SaleState.SALE_STATE_APPROVED,
]
"""That the changes of a sale leave it in when each step was made once."""


@dataclass
class Trade:
    """A token is issued, a session opened and checked, its card mapped, its end reported, the token revoked.

    Each step may be asked for again, as clients do that got no answer.
    """

    consumer_id: str
    hash: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    invoice_id: str = ""
    acknowledged: list[str] = field(default_factory=list)
    """Names of steps."""

    async def run(self, store: Store) -> None:
        """Make all steps.

        Raises:
            StoreUnavailable: one was not acknowledged; those after it were not asked for.
        """
        for name in ("issue", "open", "check", "map", "report", "revoke"):
            await getattr(self, name)(store)
            if name not in self.acknowledged:
                self.acknowledged.append(name)

    async def issue(self, store: Store) -> None:
        if await store.find_access_token(self.hash) is None:
            await store.add_access_token(
                StoredAccessToken(self.hash, NOW, LATER, consumer_id=self.consumer_id), self._entry("issue")
            )

    async def open(self, store: Store) -> None:
        sale = self._new_sale()
        record = IdempotencyRecord(self.hash, "order-1", b"r" * 32, sale.invoice_id, LATER)
        earlier = await store.open_session(sale, record)
        assert not isinstance(earlier, LimitReached)
        invoice_id = sale.invoice_id if earlier is None else earlier.invoice_id
        assert self.invoice_id in {"", invoice_id}, "the key has opened another session"
        self.invoice_id = invoice_id

    async def check(self, store: Store) -> None:
        sale = await store.bind_check(self.invoice_id, self._session_token, None, NOW)
        assert sale.session_token == self._session_token

    async def map(self, store: Store) -> None:
        card_id = new_client_card_id(NOW, secrets.token_bytes)
        await store.map_card(
            self.invoice_id, StoredCard(card_id, self.consumer_id, NOW, "11110", "77"), self._entry("map")
        )

    async def report(self, store: Store) -> None:
        report = StatusReport(self.invoice_id, "sale", "approved", "1", "10.42", False, (), NOW)
        assert await store.report_status(report, must_move=False) is not None

    async def revoke(self, store: Store) -> None:
        await store.revoke_access_token(self.hash, NOW, self._entry("revoke"))

    def _entry(self, step: str) -> AuditEntry:
        entry_id = new_audit_entry_id(NOW, secrets.token_bytes)
        return AuditEntry(entry_id, NOW, "merchant", None, step, self.hash.hex())

    async def lost(self, store: Store) -> list[str]:
        """Return the acknowledged steps that the store knows nothing of."""
        token = await store.find_access_token(self.hash)
        found = await store.find_sale_and_reports(self.invoice_id)
        sale, reports = (None, ()) if found is None else found
        record = await store.find_idempotency_record(self.hash, "order-1", NOW)
        card_id = None if sale is None else sale.client_card_id
        holds = {
            "issue": token is not None,
            "open": sale is not None and record is not None and record.invoice_id == self.invoice_id,
            "check": sale is not None and sale.session_token == self._session_token,
            "map": card_id is not None and await store.find_card(self.consumer_id, card_id) is not None,
            "report": sale is not None and sale.state == SaleState.SALE_STATE_APPROVED and len(reports) == 1,
            "revoke": token is not None and token.revoke_time is not None,
        }
        return [f"{self.consumer_id}: {name}" for name in self.acknowledged if not holds[name]]

    @property
    def _session_token(self) -> str:
        return f"session-of-{self.consumer_id}"

    def _new_sale(self) -> Sale:
        return Sale(
            invoice_id=new_invoice_id(NOW, secrets.token_bytes),
            endpoint_id="11110",
            consumer_id=self.consumer_id,
            access_token_hash=self.hash,
            serial_number="R58M123ABC",
            imei=None,
            ip_addresses=("192.0.2.17",),
            lat=None,
            lng=None,
            amount_centis=1042,
            currency="EUR",
            nonce=new_nonce(secrets.token_bytes),
            signature="9D41" * 10,
            initiate_time=NOW,
            expire_time=LATER,
            update_time=NOW,
        )


def new_trades(name: str = "consumer", count: int = 4) -> list[Trade]:
    """Return trades of as many consumers."""
    return [Trade(f"{name}-{number}") for number in range(count)]


async def trade(store: Store, trades: Iterable[Trade]) -> None:
    """Make trades at the same time, each as far as the store goes along."""

    async def run(one: Trade) -> None:
        try:
            await one.run(store)
        except StoreUnavailable:
            return

    await asyncio.gather(*map(run, trades))


async def lost(store: Store, trades: Sequence[Trade]) -> list[str]:
    """Return what was acknowledged and is not there any more."""
    return [line for one in trades for line in await one.lost(store)]


async def applied_twice(store: Store, trades: Sequence[Trade]) -> list[str]:
    """Ask again for every step that was begun, and return what has happened more than once, or still not."""
    await trade(store, trades)
    changes = await store.list_changes(0, 100_000)
    wrong = await lost(store, trades)
    for one in trades:
        states = [change.sale.state for change in changes if change.sale.invoice_id == one.invoice_id]
        sales = [change.sale.invoice_id for change in changes if change.sale.consumer_id == one.consumer_id]
        cards = await store.list_cards(one.consumer_id, None, 10)
        if len(one.acknowledged) < 6 or states != STATES or len(set(sales)) != 1 or len(cards) != 1:
            wrong.append(
                f"{one.consumer_id}: {one.acknowledged}, {states}, {len(set(sales))} sales, {len(cards)} cards"
            )
    return wrong
