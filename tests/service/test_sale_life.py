"""The life of sales against a model: whatever order things happen in, the store, the answers and the stream agree."""

import asyncio
import secrets
import tempfile
from collections.abc import Coroutine
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from service.access_tokens import AccessTokens, Binding
from service.audit import AuditLog
from service.blocklist import Blocklist
from service.card_mapping import CardMapping, Notification
from service.cards import Cards
from service.endpoints import Endpoint, Endpoints
from service.errors import ErrorReason, SaleError
from service.housekeeping import Housekeeping
from service.sale_limits import SaleLimits
from service.sale_states import SaleState
from service.sales import CheckSale, InitiateSale, Sales
from service.signing import parse_control_key
from service.status_reports import Callback, StatusReports
from service.store import Sale, SaleFilter, Store
from service.store.sqlite import SqliteStore
from service.vault import Vault, VaultKey
from tests.merchant import SBC, callback_parameters
from tests.service.conftest import Clock
from tests.stores import OpenStore, StoresInTurn, open_postgresql, schema

ResultT = TypeVar("ResultT")

TTL = timedelta(minutes=30)
CONSUMERS = ("anna", "bob")
WORDS = st.tuples(
    st.sampled_from(["sale", "reversal", "chargeback", "capture"]),
    st.sampled_from(["approved", "declined", "filtered", "error", "unknown", "processing"]),
    st.sampled_from(["1", "2"]),
)
RESULTS = {"approved": "APPROVED", "declined": "DECLINED", "filtered": "FILTERED", "error": "FAILED"}


@dataclass
class Modelled:
    """What is expected of a sale."""

    sale: Sale
    access_token: str
    consumer_id: str
    states: list[str] = field(default_factory=lambda: ["INITIATED"])
    session_token: str | None = None
    check_card_id: str | None = None
    """What the first check paid with."""
    check_time: datetime | None = None
    reports: set[tuple[str, str, str]] = field(default_factory=set)
    card_id: str | None = None
    """The card that it was paid with or saved with: of both the later one."""

    def name_card(self, card_id: str) -> None:
        self.card_id = max(self.card_id or "", card_id)

    @property
    def state(self) -> str:
        return self.states[-1]

    def settle(self) -> None:
        """Move as the contract says: results first, then what takes them back."""
        words = {(type, status) for type, status, _ in self.reports}
        if self.state == "APPROVED" and ("reversal", "approved") in words:
            self.states.append("REVERSED")
        if self.state in {"APPROVED", "REVERSED"} and ("chargeback", "approved") in words:
            self.states.append("CHARGED_BACK")


class SaleLife(RuleBasedStateMachine):
    """Consumers, a payment gateway and time, in any order."""

    sales = Bundle("sales")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.stack = ExitStack()
        self.open_store = self.new_store()
        self.clock = Clock()
        self.model: dict[str, Modelled] = {}
        self.saved: dict[tuple[str, str], str] = {}
        """The client card id of each consumer and server card id that is saved and not deleted."""
        self.deleted: dict[tuple[str, str], datetime] = {}
        """When each consumer's card with each server card id was deleted last."""
        self.run(self.open())

    def new_store(self) -> OpenStore:
        """Return what opens a new store, and the same one again."""
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())

        async def open_sqlite() -> Store:
            return SqliteStore(Path(folder, "sale.db"))

        return open_sqlite

    async def open(self) -> None:
        store = self.store = await self.open_store()
        endpoint = Endpoint(SBC.endpoint_id, SBC.name, (parse_control_key(SBC.control_key),), frozenset({SBC.currency}))
        endpoints = Endpoints([endpoint])
        tools: dict[str, Any] = {"clock": self.clock, "randomness": secrets.token_bytes}
        audit_log = AuditLog(store, **tools)
        self.tokens = AccessTokens(
            store, endpoints, audit_log, mode="issued", ttl=timedelta(days=1), public=True, **tools
        )
        vault = Vault([VaultKey("1", b"k" * 32)], secrets.token_bytes)
        blocklist = Blocklist(store, audit_log, clock=self.clock)
        self.cards = Cards(store, vault, audit_log, blocklist, **tools)
        self.domain = Sales(
            store, endpoints, self.tokens, self.cards, SaleLimits(), blocklist, session_ttl=TTL, **tools
        )
        self.mapping = CardMapping(store, endpoints, self.tokens, audit_log, **tools)
        self.reports = StatusReports(store, endpoints, clock=self.clock)
        self.housekeeping = Housekeeping(store, clock=self.clock, retention=None)

    def run(self, coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
        return self.loop.run_until_complete(coroutine)

    def refusal(self, coroutine: Coroutine[Any, Any, object]) -> str | None:
        """Return the reason for which a request is refused, if it is."""
        try:
            self.run(coroutine)
        except SaleError as error:
            return ErrorReason.Name(error.reason).removeprefix("ERROR_REASON_")
        return None

    @rule(target=sales, consumer_id=st.sampled_from(CONSUMERS))
    def initiate(self, consumer_id: str) -> str:
        return self.opened(consumer_id)

    def opened(self, consumer_id: str) -> str:
        token, _ = self.run(self.tokens.issue(Binding(consumer_id=consumer_id)))
        sale = self.run(self.domain.initiate(InitiateSale(token, "R58M", 1042, SBC.currency)))
        self.model[sale.invoice_id] = Modelled(sale, token, consumer_id)
        return sale.invoice_id

    @rule(
        id=sales,
        token=st.sampled_from(["t" * 16, "u" * 16]),
        forged=st.sampled_from([None, None, "signature", "nonce"]),
    )
    def check(self, id: str, token: str, forged: str | None) -> None:
        self.require_check(id, token, None, forged)

    @rule(id=sales, owner=st.sampled_from(CONSUMERS), server_card_id=st.sampled_from(["77", "78"]))
    def check_with_card(self, id: str, owner: str, server_card_id: str) -> None:
        self.require_check(id, "t" * 16, self.saved.get((owner, server_card_id), "unknown"), None)

    def require_check(self, id: str, token: str, card: str | None, forged: str | None) -> None:
        known = self.model[id]
        sent = {"nonce": known.sale.nonce, "signature": known.sale.signature}
        if forged is not None:
            sent[forged] = sent[forged][:-1] + ("0" if sent[forged][-1] != "0" else "1")
        own = {saved for (owner, _), saved in self.saved.items() if owner == known.consumer_id}
        if forged is not None:
            expected = "SESSION_MISMATCH"
        elif known.state == "EXPIRED":
            expected = "SESSION_EXPIRED"
        elif known.state not in {"INITIATED", "CHECKED"}:
            expected = "SESSION_ALREADY_CHECKED"
        elif known.session_token is None and self.clock.now >= known.sale.expire_time:
            expected = "SESSION_EXPIRED"
        elif known.session_token not in {None, token}:
            expected = "SESSION_ALREADY_CHECKED"
        elif card is not None and card not in own:
            expected = "CLIENT_CARD_NOT_FOUND"
        elif known.session_token is not None and card != known.check_card_id:
            expected = "SESSION_ALREADY_CHECKED"
        else:
            expected = None
        request = CheckSale(id, known.access_token, "R58M", session_token=token, client_card_id=card, **sent)
        assert self.refusal(self.domain.check(request)) == expected
        if expected is None and known.session_token is None:
            known.session_token, known.check_card_id, known.card_id = token, card, card
            known.check_time = self.clock.now
            known.states.append("CHECKED")

    @rule(id=sales, words=WORDS, wrong=st.booleans())
    def callback(self, id: str, words: tuple[str, str, str], wrong: bool) -> None:
        known, (type, status, orderid) = self.model[id], words
        parameters = callback_parameters(id, status, type=type, orderid=orderid)
        control = parameters["control"][::-1] if wrong else parameters["control"]
        callback = Callback(status, orderid, id, control, tuple(parameters.items()), type, "10.42")
        assert self.refusal(self.reports.receive_callback(callback)) == ("CONTROL_MISMATCH" if wrong else None)
        if wrong:
            return
        known.reports.add(words)
        if type == "sale" and status in RESULTS and known.state in {"INITIATED", "CHECKED", "EXPIRED"}:
            known.states.append(RESULTS[status])
        known.settle()

    @rule(id=sales, server_card_id=st.sampled_from(["77", "78"]))
    def notify(self, id: str, server_card_id: str) -> None:
        self.require_notification(id, server_card_id)

    def require_notification(self, id: str, server_card_id: str) -> None:
        known = self.model[id]
        notification = Notification(
            known.access_token, "R58M", known.session_token or "x" * 16, server_card_id, 1, 444455
        )
        expected = None if known.session_token else "INVOICE_NOT_FOUND"
        # Several sales of the model share a session token; each is found by its own access token all the same.
        refused = self.refusal(self.mapping.notify(notification))
        assert refused == expected
        owned = known.consumer_id, server_card_id
        if expected is not None or known.check_time is None:
            return
        if owned not in self.saved:
            if owned in self.deleted and self.deleted[owned] >= known.check_time:
                return  # the sale was made with the card that was deleted
            cards, _ = self.run(self.cards.list(known.consumer_id))
            (new,) = {card.client_card_id for card in cards} - set(self.saved.values())
            self.saved[owned] = new
        known.name_card(self.saved[owned])

    @rule(target=sales, consumer_id=st.sampled_from(CONSUMERS))
    def pay_and_save_the_card(self, consumer_id: str) -> str:
        id = self.opened(consumer_id)
        self.require_check(id, "t" * 16, None, None)
        self.require_notification(id, "77")
        return id

    @rule(owner=st.sampled_from(CONSUMERS), server_card_id=st.sampled_from(["77", "78"]))
    def delete_card(self, owner: str, server_card_id: str) -> None:
        card_id = self.saved.pop((owner, server_card_id), None)
        if card_id is None:
            return
        self.deleted[owner, server_card_id] = self.clock.now
        self.run(self.cards.delete(owner, card_id))

    @rule(minutes=st.sampled_from([1, 15, 31]))
    def wait(self, minutes: int) -> None:
        self.clock.now += timedelta(minutes=minutes)

    @rule()
    def keep_house(self) -> None:
        self.run(self.housekeeping.run())
        for known in self.model.values():
            if known.state == "INITIATED" and known.sale.expire_time <= self.clock.now:
                known.states.append("EXPIRED")

    @rule()
    def restart(self) -> None:
        self.run(self.store.close())
        self.run(self.open())

    @invariant()
    def the_store_is_as_the_model_says(self) -> None:
        sales = self.run(self.store.list_sales(SaleFilter(), None, 1000)).sales
        stored = {sale.invoice_id: sale for sale in sales}
        assert stored.keys() == self.model.keys()
        for id, known in self.model.items():
            assert SaleState.Name(stored[id].state).removeprefix("SALE_STATE_") == known.state
            assert stored[id].session_token == known.session_token
            assert (stored[id].check_card_id, stored[id].client_card_id) == (known.check_card_id, known.card_id)
            found = self.run(self.store.find_sale_and_reports(id))
            reports = [] if found is None else found[1]
            assert {(report.type, report.status, report.orderid) for report in reports} == known.reports
            assert len(reports) == len(known.reports)

    @invariant()
    def the_changes_tell_every_move(self) -> None:
        lives: dict[str, list[str]] = {}
        for change in self.run(self.store.list_changes(0, 10_000)):
            name = SaleState.Name(change.sale.state).removeprefix("SALE_STATE_")
            life = lives.setdefault(change.sale.invoice_id, [])
            if not life or life[-1] != name:
                life.append(name)
        assert lives == {id: known.states for id, known in self.model.items()}

    @invariant()
    def each_consumer_has_the_own_cards(self) -> None:
        for consumer_id in CONSUMERS:
            cards, _ = self.run(self.cards.list(consumer_id))
            expected = {card for (owner, _), card in self.saved.items() if owner == consumer_id}
            assert {card.client_card_id for card in cards} == expected

    def teardown(self) -> None:
        self.run(self.store.close())
        self.loop.close()
        self.stack.close()


class SaleLifeOnThreeNodes(SaleLife):
    """The same, each call on another node."""

    postgresql_url: ClassVar[str]

    def new_store(self) -> OpenStore:
        url = self.stack.enter_context(schema(self.postgresql_url))

        async def open_nodes() -> Store:
            return StoresInTurn([await open_postgresql(url) for _ in range(3)])

        return open_nodes


SHORT = settings(max_examples=30, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
LONG = settings(SHORT, max_examples=800, stateful_step_count=60)


def test_every_life_of_a_sale_is_as_the_model_says() -> None:
    run_state_machine_as_test(SaleLife, settings=SHORT)


@pytest.mark.long
def test_every_life_of_a_sale_is_as_the_model_says_for_longer() -> None:
    run_state_machine_as_test(SaleLife, settings=LONG)


def test_every_life_of_a_sale_is_as_the_model_says_on_three_nodes(postgresql_url: str) -> None:
    SaleLifeOnThreeNodes.postgresql_url = postgresql_url
    run_state_machine_as_test(SaleLifeOnThreeNodes, settings=settings(SHORT, max_examples=7))


@pytest.mark.long
def test_every_life_of_a_sale_is_as_the_model_says_on_three_nodes_for_longer(postgresql_url: str) -> None:
    SaleLifeOnThreeNodes.postgresql_url = postgresql_url
    run_state_machine_as_test(SaleLifeOnThreeNodes, settings=settings(LONG, max_examples=300))
