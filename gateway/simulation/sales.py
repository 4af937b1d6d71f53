"""One sale as the consumer's app goes through it, step by step."""

import asyncio
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import NamedTuple

from gateway.parties.consumer_app import ConsumerApp, Decision, OpenedSale, State, card_of, saved_card_of
from gateway.parties.exchanges import (
    Document,
    Exchange,
    NoAnswer,
    Peer,
    PeerError,
    Refused,
    Unreachable,
    WithoutTls,
)
from gateway.sandbox.cards import AMOUNTS, NO_ANSWER, REFUSED, Card
from gateway.simulation.confirmation_page import ConfirmationPage

FAILED = "FAILED"
"""How a sale ended that could not go on."""
_UNDECIDED = frozenset({State.PROCESSING, State.REDIRECT_REQUEST})
_WITHOUT_STATE = frozenset({REFUSED, NO_ANSWER})
_NO_SUCH_CARD = "1106"
_SAVING_SECONDS = 3.0
"""How long a card may take to be saved."""


class Terms(NamedTuple):
    """What is bought, and how."""

    card: Card
    amount_centis: int
    currency: str
    confirms: bool
    """Whether the consumer confirms, where there is a page to."""

    @property
    def promise(self) -> str:
        """How a sale has to end."""
        promise = self.card.promise
        declined = self.amount_centis in AMOUNTS or (self.card.redirects and not self.confirms)
        return State.DECLINED if promise == State.APPROVED and declined else promise


class Step(NamedTuple):
    """One exchange of a sale."""

    sale: int
    """Its number, from 1."""
    name: str
    exchange: Exchange


@dataclass(slots=True)
class Outcome:
    """How a sale ended."""

    sale: int
    promise: str
    ended: str = FAILED
    """A state of the Device API, `REFUSED`, `NO_ANSWER` or `FAILED`."""
    fault: str = ""
    """Why it is not as promised, or why it was refused."""
    unreachable: str = ""
    """Base URL of the server that gave no answer."""
    refusal: str = ""
    """Code of the error by which the payment gateway refused it."""
    invoice_id: str = ""
    client_card_id: str = ""
    """Of the card that was saved."""
    access_token: str = ""
    seconds: float = 0.0

    @property
    def is_as_promised(self) -> bool:
        """Whether it went as its card promises."""
        return self.ended == self.promise and (self.ended in _WITHOUT_STATE or not self.fault)


class Pace(NamedTuple):
    """How long the app waits for what, in seconds."""

    interval: float
    """Between two questions for the status."""
    patience: float
    """For the sale to end."""


_running: ContextVar[tuple[int, str]] = ContextVar("_running")
"""Number of the sale and name of the step that a request belongs to."""


class Simulation:
    """Runs sales.

    Args:
        server: base URL of the Connecting Party's server.
        gateway: base URL of the payment gateway.
        serial_number: of the device.
        pace: how long it waits for what.
        observe: called with each step.
        timeout_seconds: to wait for an answer.
    """

    def __init__(
        self,
        server: str,
        gateway: str,
        serial_number: str,
        pace: Pace,
        observe: Callable[[Step], None],
        timeout_seconds: float,
    ) -> None:
        def seen(exchange: Exchange) -> None:
            observe(Step(*_running.get(), exchange))

        self._seen = seen
        self._server = Peer(server, timeout_seconds=timeout_seconds, observe=seen)
        self._gateway = Peer(gateway, timeout_seconds=timeout_seconds, observe=seen)
        self._page = ConfirmationPage(timeout_seconds)
        self._app = ConsumerApp(self._server, self._gateway, serial_number)
        self._pace = pace

    async def close(self) -> None:
        """Let go of the connections."""
        for each in (self._server, self._gateway, self._page):
            await each.close()

    async def run(self, number: int, terms: Terms, saved_as: Outcome | None = None) -> Outcome:
        """Go through one sale.

        Args:
            number: of the sale.
            terms: what is bought, and how.
            saved_as: an earlier sale with whose saved card, and as whose consumer, it is paid.

        Returns:
            How it ended; nothing is raised.
        """
        outcome = Outcome(number, terms.promise)
        begun = time.perf_counter()
        try:
            await self._go_through(outcome, terms, saved_as)
        except PeerError as error:
            outcome.fault = str(error)
            if isinstance(error, Unreachable) and not (isinstance(error, WithoutTls) or outcome.is_as_promised):
                outcome.unreachable = error.base_url
        except UnicodeError:
            outcome.fault = "what was answered can't be sent on: it is no Unicode"
        outcome.seconds = time.perf_counter() - begun
        if not outcome.fault and outcome.ended != outcome.promise:
            outcome.fault = f"the card promises {outcome.promise}"
        return outcome

    async def _go_through(self, outcome: Outcome, terms: Terms, saved_as: Outcome | None) -> None:
        step = _Steps(outcome.sale)
        if saved_as is None:
            step("request access token")
            outcome.access_token = await self._app.request_access_token()
            funds = card_of(terms.card.number)
        else:
            outcome.access_token = saved_as.access_token
            funds = saved_card_of(saved_as.client_card_id)
        step("initiate sale")
        token = outcome.access_token
        opened = await self._app.initiate(token, terms.amount_centis, terms.currency)
        outcome.invoice_id = opened.invoice_id
        step("perform sale")
        try:
            session = await self._app.perform_sale(opened, token, terms.amount_centis, terms.currency, funds)
        except Refused as error:
            outcome.ended = REFUSED
            outcome.refusal = error.code
            raise
        except NoAnswer:
            outcome.ended = NO_ANSWER
            raise
        outcome.ended = await self._follow(step, opened, token, session, confirms=terms.confirms)
        if outcome.ended == State.APPROVED and saved_as is None:
            step("get client ids")
            outcome.client_card_id = await self._saved_card(token, opened)

    async def _follow(self, step: "_Steps", opened: OpenedSale, token: str, session: str, *, confirms: bool) -> str:
        """Ask for the status until it is final or patience has run out, and return it."""
        deadline = time.monotonic() + self._pace.patience
        confirmed = False
        while True:
            step("sale status")
            status = (await self._app.sale_status(opened, token, session)).document()
            state = str(status.get("state", ""))
            if state == State.REDIRECT_REQUEST and not confirmed:
                await self._confirm(step, status, confirms=confirms)
                confirmed = True
            elif state not in _UNDECIDED or time.monotonic() > deadline:
                return state
            await asyncio.sleep(self._pace.interval)

    async def _confirm(self, step: "_Steps", status: Document, *, confirms: bool) -> None:
        step("confirm on page")
        decision = Decision.APPROVE if confirms else Decision.DECLINE
        self._seen(await self._page.press(str(status.get("redirectUrl", "")), decision))

    async def _saved_card(self, token: str, opened: OpenedSale) -> str:
        deadline = time.monotonic() + _SAVING_SECONDS
        while True:
            try:
                return await self._app.client_ids(token, opened.invoice_id)
            except Refused as error:
                # A payment gateway may tell the app of the approval before it tells the server of the card.
                if error.code != _NO_SUCH_CARD or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(self._pace.interval)


class _Steps:
    """Names the step that runs, for the requests that it sends."""

    def __init__(self, sale: int) -> None:
        self._sale = sale

    def __call__(self, name: str) -> None:
        _running.set((self._sale, name))
