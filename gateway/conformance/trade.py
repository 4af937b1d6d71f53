"""Sales as a requirement's test makes them: the consumer's app and the payment gateway at once."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from gateway.conformance.answers import confirmed, refused
from gateway.conformance.documents import (
    Checked,
    Sale,
    check_document,
    encoded,
    member_of,
    new_serial_number,
    sale_of,
    with_member,
)
from gateway.conformance.exchanges import Exchange, Request
from gateway.conformance.faults import Fault, NotTested, untested
from gateway.conformance.wire import Wire
from gateway.parties.signatures import callback_control

JSON_TYPE = ("Content-Type", "application/json")
AT_ONCE = 16
"""How many requests a race has."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How sales are made with the server."""

    target: str
    """URL of the server, without a slash at its end."""
    payment_gateway_url: str
    """URL of check, notification and callback; the same one where they are served there too."""
    currency: str
    amount_centis: int
    control_key: str | None
    """Of the endpoint that takes the currency, as the provider writes it."""
    access_tokens: Sequence[str]
    """Where the server serves none."""


class Trade:
    """Makes sales with a server.

    Args:
        terms: how.
        wire: to the server.
        slots: how many requests may be under way at once.
        refusals: takes every refusal of a sale's operations.
    """

    def __init__(self, terms: Terms, wire: Wire, slots: asyncio.Semaphore, refusals: list[Exchange]) -> None:
        self.terms = terms
        self.wire = wire
        self.refusals = refusals
        self._slots = slots
        self._token = ""
        self._asking = asyncio.Lock()

    @property
    def control_key(self) -> str:
        """The control key; the runner has seen to it that there is one."""
        return self.terms.control_key or ""

    async def access_token(self) -> str:
        """Return the consumer's access token, the same one each time.

        Raises:
            NotTested: none was given out.
        """
        async with self._asking:
            self._token = self._token or await self._new_access_token(0)
        return self._token

    async def another_access_token(self) -> str:
        """Return the access token of another consumer.

        Raises:
            NotTested: there is no other one.
        """
        return await self._new_access_token(1)

    async def _new_access_token(self, number: int) -> str:
        if given := self.terms.access_tokens:
            if number >= len(given):
                raise NotTested("it needs a second access token: give --access-token twice")
            return given[number]
        exchange = await self.request_access_token()
        token = member_of(exchange.document or {}, "session.accessToken")
        if not (isinstance(token, str) and token):
            raise NotTested(f"no access token was given out: {exchange.told()}", exchange)
        return token

    async def request_access_token(self) -> Exchange:
        """Ask for an access token, as the app does."""
        return await self.send(Request("GET", f"{self.terms.target}/auth/request-access-token", (JSON_TYPE,)))

    async def send(self, request: Request) -> Exchange:
        """Send a request when there is a slot for it."""
        async with self._slots:
            return await self.wire.send(request)

    def refused(self, exchange: Exchange, expected: str) -> Exchange:
        """Return an answer that refuses what was asked, and keep it for those who look at all refusals.

        Raises:
            Fault: it does not refuse it; see `gateway.conformance.answers.refused`.
        """
        self.refusals.append(refused(exchange, expected))
        return exchange

    def initiation(self, document: object, *headers: tuple[str, str]) -> Request:
        """Return the request that opens a sale."""
        return Request("POST", f"{self.terms.target}/sale/initiate-sale", (JSON_TYPE, *headers), encoded(document))

    async def initiate(self, document: object, *headers: tuple[str, str]) -> Exchange:
        """Open a sale."""
        return await self.send(self.initiation(document, *headers))

    def checking(self, invoice_id: str, document: object) -> Request:
        """Return the request that checks a sale."""
        url = f"{self.terms.payment_gateway_url}/sale/{quote(invoice_id, safe='')}/check"
        return Request("POST", url, (JSON_TYPE,), encoded(document))

    async def check(self, sale: Sale, document: object, invoice_id: str | None = None) -> Exchange:
        """Check a sale."""
        return await self.send(self.checking(sale.invoice_id if invoice_id is None else invoice_id, document))

    async def notify(self, document: object) -> Exchange:
        """Tell of the card."""
        url = f"{self.terms.payment_gateway_url}/sale/notification"
        return await self.send(Request("POST", url, (JSON_TYPE,), encoded(document)))

    async def client_ids(self, sale: Sale, document: object) -> Exchange:
        """Ask which card was saved with a sale."""
        url = f"{self.terms.target}/cardrefs/{quote(sale.invoice_id, safe='')}/get-client-ids"
        return await self.send(Request("POST", url, (JSON_TYPE,), encoded(document)))

    def calling_back(self, parameters: Mapping[str, str], more: str = "") -> Request:
        """Return the callback with these parameters, and more of the query as it is."""
        return Request("GET", f"{self.terms.payment_gateway_url}/sale/callback?{urlencode(parameters)}{more}")

    async def call_back(self, parameters: Mapping[str, str], more: str = "") -> Exchange:
        """Tell how a sale ended."""
        return await self.send(self.calling_back(parameters, more))

    async def initiate_document(self, **members: Any) -> dict[str, Any]:
        """Return what the app sends, with nothing optional.

        Args:
            members: `access_token`, `serial_number`, `amount_centis` or `currency`, where they are not the usual ones.
        """
        token = members.get("access_token") or await self.access_token()
        return {
            "consumer": {"device": {"serialNumber": members.get("serial_number") or new_serial_number()}},
            "session": {"accessToken": token},
            "transaction": {
                "amountCentis": members.get("amount_centis") or self.terms.amount_centis,
                "currency": members.get("currency") or self.terms.currency,
            },
        }

    async def opened(self, **members: Any) -> Sale:
        """Open a sale.

        Args:
            members: as of `initiate_document`.

        Raises:
            NotTested: it was not opened.
        """
        document = await self.initiate_document(**members)
        exchange = await self.initiate(document)
        try:
            return sale_of(document, exchange)
        except Fault as fault:
            raise untested("no sale could be opened", fault) from None

    async def checked(self, sale: Sale | None = None, **members: Any) -> Checked:
        """Open a sale where there is none, and check it.

        Args:
            sale: to check.
            members: of the check, by their paths with a double underscore for a dot.

        Raises:
            NotTested: it was not confirmed.
        """
        sale = sale or await self.opened()
        document = check_document(sale)
        for path, value in members.items():
            document = with_member(document, path.replace("__", "."), value)
        exchange = await self.check(sale, document)
        try:
            return Checked(sale, document["session"]["token"], exchange, confirmed(exchange, "the check is confirmed"))
        except Fault as fault:
            raise untested("a sale could not be checked", fault) from None

    def callback(self, sale: Sale, **parameters: str) -> dict[str, str]:
        """Return the parameters of a callback, with the control checksum of the control key.

        Args:
            sale: that has ended.
            parameters: that are not the usual ones.
        """
        major, centis = divmod(sale.amount_centis, 100)
        usual = {
            "status": "approved",
            "type": "sale",
            "orderid": str(10**9 + secrets.randbelow(10**9)),
            "client_orderid": sale.invoice_id,
            "merchant_order": sale.invoice_id,
            "amount": f"{major}.{centis:02}",
        }
        sent = {**usual, **parameters}
        control = callback_control(
            self.control_key, status=sent["status"], orderid=sent["orderid"], client_orderid=sent["client_orderid"]
        )
        return {"control": control, **sent}
