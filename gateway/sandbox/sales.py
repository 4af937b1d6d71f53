"""The sales that the sandbox knows: the latest ones."""

import asyncio
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from gateway.parties.consumer_app import State
from gateway.parties.payment_gateway import CheckedSession
from gateway.sandbox.cards import Card


@dataclass(slots=True, eq=False)
class Sale:
    """A sale whose session was confirmed by the Connecting Party's server."""

    order_id: str
    endpoint_id: str
    invoice_id: str
    session: CheckedSession
    amount_centis: int
    currency: str
    card: Card
    is_saved_card: bool
    created: datetime
    state: State = State.PROCESSING
    changed: datetime | None = None
    confirmed: asyncio.Future[bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """What the consumer answered on the page."""
    page: str = field(default_factory=partial(secrets.token_urlsafe, 16))
    """What nobody else knows of the page's address."""
    charging: asyncio.Task[None] | None = None

    def document(self, redirect_url: str) -> dict[str, Any]:
        """Return what sale status answers.

        Args:
            redirect_url: of the page on which the consumer confirms.
        """
        document: dict[str, Any] = {
            "invoiceId": self.invoice_id,
            "session": {"token": self.session.token},
            "state": self.state.value,
            "orderId": self.order_id,
            "transaction": {
                "amountCentis": self.amount_centis,
                "commissionCentis": 0,
                "currency": self.currency,
                "orderCreatedDate": _written(self.created),
                "transactionCreatedDate": _written(self.changed or self.created),
            },
        }
        if self.state is State.REDIRECT_REQUEST:
            document["redirectUrl"] = redirect_url
        elif self.state is not State.PROCESSING:
            document["bankOrderId"] = f"bank-{self.order_id}"
        return document


def _written(moment: datetime) -> str:
    # As the public clients read it: yyyy-MM-dd HH:mm:ss.SSSZ
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}{moment:%z}"


class Sales:
    """The latest sales, by the sandbox's token of each.

    Args:
        most: how many; the oldest is forgotten for a new one.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_token: OrderedDict[str, Sale] = OrderedDict()
        self._by_page: dict[str, Sale] = {}

    def __len__(self) -> int:
        return len(self._by_token)

    def add(self, sale: Sale) -> None:
        """Keep a sale."""
        self._by_token[sale.session.token] = sale
        self._by_page[sale.page] = sale
        while len(self._by_token) > self._most:
            _, oldest = self._by_token.popitem(last=False)
            del self._by_page[oldest.page]
            if oldest.charging is not None:
                oldest.charging.cancel()

    def find(self, token: str) -> Sale | None:
        """Return the sale of a token; None if it is unknown, or forgotten."""
        return self._by_token.get(token)

    def find_page(self, page: str) -> Sale | None:
        """Return the sale of a page; None if it is unknown, or forgotten."""
        return self._by_page.get(page)

    async def stop(self) -> None:
        """End what goes on with them."""
        running = [sale.charging for sale in self._by_token.values() if sale.charging is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
