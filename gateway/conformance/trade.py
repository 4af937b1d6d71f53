"""Sales as a requirement's test makes them: the consumer's app and the payment gateway at once."""

import asyncio
import json
import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from gateway.conformance.answers import confirmed, refused
from gateway.conformance.exchanges import Exchange, Request
from gateway.conformance.faults import Fault, NotTested
from gateway.conformance.wire import Wire
from gateway.parties.signatures import callback_control

JSON_TYPE = ("Content-Type", "application/json")
AT_ONCE = 16
"""How many requests a race has."""
ABSENT = ...
"""In the place of a value: the member is left out."""


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


class Sale(NamedTuple):
    """A sale that was opened."""

    opening: Exchange
    access_token: str
    serial_number: str
    amount_centis: int
    currency: str
    endpoint_id: str
    invoice_id: str
    nonce: str
    signature: str


class Checked(NamedTuple):
    """A sale that the payment gateway has checked."""

    sale: Sale
    token: str
    """The session token of the check."""
    exchange: Exchange
    answer: dict[str, Any]


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
            raise NotTested(f"no sale could be opened: {fault.got}", exchange) from None

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
            raise NotTested(f"a sale could not be checked: {fault.got}", exchange) from None

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


def sale_of(document: Mapping[str, Any], exchange: Exchange) -> Sale:
    """Return the sale that an answer opened.

    Args:
        document: that was sent.
        exchange: with it.

    Raises:
        Fault: it opened none.
    """
    answer = confirmed(exchange, "HTTP 200 with endpointId, invoiceId, session.nonce and session.signature")
    paths = ("endpointId", "invoiceId", "session.nonce", "session.signature")
    members = [member_of(answer, path) for path in paths]
    if not all(isinstance(member, str) and member for member in members):
        raise Fault("endpointId, invoiceId, session.nonce and session.signature as strings", exchange.told(), exchange)
    transaction = document["transaction"]
    return Sale(
        exchange,
        document["session"]["accessToken"],
        document["consumer"]["device"]["serialNumber"],
        int(transaction["amountCentis"]),
        transaction["currency"],
        *(str(member) for member in members),
    )


def check_document(sale: Sale, token: str | None = None) -> dict[str, Any]:
    """Return what the payment gateway sends to check a sale, with nothing optional.

    Args:
        sale: that was opened.
        token: of the session; a new one where there is none.
    """
    return {
        "consumer": {"device": {"serialNumber": sale.serial_number}},
        "session": {
            "accessToken": sale.access_token,
            "nonce": sale.nonce,
            "signature": sale.signature,
            "token": token or new_session_token(),
        },
    }


def notification_document(checked: Checked, server_card_id: str) -> dict[str, Any]:
    """Return what the payment gateway sends when it has given the card of a sale an id."""
    return {
        "consumer": {"device": {"serialNumber": checked.sale.serial_number}},
        "session": {"accessToken": checked.sale.access_token, "token": checked.token},
        "sourceCard": {
            "bin": 444455,
            "reference": {"serverCardId": server_card_id, "uniqueReferenceCardId": 2**53 + 1},
        },
    }


def client_ids_document(sale: Sale) -> dict[str, Any]:
    """Return what the app sends to learn which card was saved with a sale."""
    return {
        "consumer": {"device": {"serialNumber": sale.serial_number}},
        "session": {"accessToken": sale.access_token},
    }


def with_member(document: Mapping[str, Any], path: str, value: object) -> dict[str, Any]:
    """Return a copy of a document with one member set, or left out.

    Args:
        document: that is copied.
        path: names of the member and of those that it is in, with dots between.
        value: of the member; `ABSENT` leaves it out.
    """
    name, _, inner = path.partition(".")
    if inner:
        return {**document, name: with_member(document.get(name, {}), inner, value)}
    if value is ABSENT:
        return {key: member for key, member in document.items() if key != name}
    return {**document, name: value}


def member_of(document: Mapping[str, Any], path: str) -> Any:
    """Return a member of a document by its path; None where it is not there."""
    value: Any = document
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def encoded(document: object) -> bytes:
    """Return a document as it is sent; what is bytes already stays as it is."""
    if isinstance(document, bytes):
        return document
    text = json.dumps(document, ensure_ascii=False)
    try:
        return text.encode()
    except UnicodeEncodeError:  # a lone surrogate can be sent as an escape only
        return json.dumps(document).encode()


def new_serial_number() -> str:
    """Return the serial number of a device that there is not."""
    return f"VERIFY{secrets.token_hex(6).upper()}"


def new_session_token() -> str:
    """Return a session token as the payment gateway makes them: 36 characters."""
    return str(uuid.uuid4())


def new_server_card_id() -> str:
    """Return an id as the payment gateway gives it to a card: the digits of a 64-bit integer."""
    return str(2**62 + secrets.randbelow(2**62))
