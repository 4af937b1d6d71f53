"""The consumer's app: a client of a Connecting Party's server, and of a payment gateway's Device API."""

from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import quote

from gateway.parties.exchanges import Document, Exchange, NotUnderstood, Peer

DEVICE_API = "/paynet/dapi/v1/sale"
"""Where the Device API has sales, from the base URL of a payment gateway on."""


class State(StrEnum):
    """How a sale stands at the payment gateway, as the Device API has it."""

    PROCESSING = "PROCESSING"
    REDIRECT_REQUEST = "REDIRECT_REQUEST"
    APPROVED = "APPROVED"
    DECLINED = "DECLINED"


class Decision(StrEnum):
    """What the consumer answers on the page of a sandbox: the values of its buttons."""

    APPROVE = "approve"
    DECLINE = "decline"


class OpenedSale(NamedTuple):
    """What initiate sale returned, and the payment gateway has to be told."""

    endpoint_id: str
    invoice_id: str
    nonce: str
    signature: str


class ConsumerApp:
    """One consumer's app.

    Args:
        server: of the Connecting Party.
        gateway: where the card is charged.
        serial_number: of the device.
    """

    def __init__(self, server: Peer, gateway: Peer, serial_number: str) -> None:
        self._server = server
        self._gateway = gateway
        self._consumer = {"device": {"serialNumber": serial_number}}

    async def request_access_token(self) -> str:
        """Ask the Connecting Party's server for an access token.

        Raises:
            PeerError: there is none.
        """
        return _text_of((await self._server.get("/auth/request-access-token")).document(), "session", "accessToken")

    async def initiate(
        self, access_token: str, amount_centis: int, currency: str, idempotency_key: str | None = None
    ) -> OpenedSale:
        """Open a sale at the Connecting Party's server.

        Args:
            access_token: of the consumer.
            amount_centis: in hundredths of the currency, whatever its own minor unit is.
            currency: ISO 4217 alpha code.
            idempotency_key: makes it safe to send again.

        Raises:
            PeerError: it was not opened.
        """
        document = {
            "consumer": self._consumer,
            "session": {"accessToken": access_token},
            "transaction": {"amountCentis": amount_centis, "currency": currency},
        }
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        opened = (await self._server.post("/sale/initiate-sale", document, headers)).document()
        return OpenedSale(
            _text_of(opened, "endpointId"),
            _text_of(opened, "invoiceId"),
            _text_of(opened, "session", "nonce"),
            _text_of(opened, "session", "signature"),
        )

    async def client_ids(self, access_token: str, invoice_id: str) -> str:
        """Return the Connecting Party's id of the card that was saved with a sale.

        Raises:
            PeerError: none was.
        """
        document = {"consumer": self._consumer, "session": {"accessToken": access_token}}
        exchange = await self._server.post(f"/cardrefs/{quote(invoice_id, safe='')}/get-client-ids", document)
        return _text_of(exchange.document(), "sourceCardRefId")

    async def perform_sale(
        self,
        sale: OpenedSale,
        access_token: str,
        amount_centis: int,
        currency: str,
        source_of_funds: Document,
    ) -> str:
        """Ask the payment gateway to charge a card.

        Args:
            sale: as it was opened.
            access_token: with which it was.
            amount_centis: as it was opened.
            currency: as it was opened.
            source_of_funds: `card_of` or `saved_card_of`.

        Returns:
            The payment gateway's token of the sale.

        Raises:
            PeerError: it does not.
        """
        session = {"accessToken": access_token, "nonce": sale.nonce, "signature": sale.signature}
        document: dict[str, Any] = {
            "consumer": self._consumer,
            "session": session,
            "sourceOfFunds": source_of_funds,
            "transaction": {"amountCentis": amount_centis, "currency": currency},
        }
        exchange = await self._gateway.post(_device_path(sale), document)
        return _text_of(exchange.document(), "session", "token")

    async def sale_status(self, sale: OpenedSale, access_token: str, session_token: str) -> Exchange:
        """Ask the payment gateway how a sale stands.

        Args:
            sale: as it was opened.
            access_token: with which it was.
            session_token: as perform sale returned it.

        Returns:
            The exchange; its document has `state`, and `redirectUrl` while that is REDIRECT_REQUEST.

        Raises:
            Unreachable: nothing came back in time.
        """
        session = {"accessToken": access_token, "token": session_token}
        return await self._gateway.post(f"{_device_path(sale)}/status", {"session": session})


def card_of(number: str, month: int = 12, year: int = 2039, security_code: str = "123") -> Document:
    """Return a card as the source of funds.

    Args:
        number: of the card.
        month: of its expiry, 1 to 12.
        year: of its expiry, four digits.
        security_code: on its back.
    """
    return {
        "card": {
            "number": number,
            "expiry": {"month": month, "year": year},
            "holder": {"firstName": "Test", "lastName": "Card"},
            "securityCode": security_code,
        }
    }


def saved_card_of(client_card_id: str) -> Document:
    """Return a saved card as the source of funds.

    Args:
        client_card_id: the Connecting Party's id of it.
    """
    return {"reference": {"clientCardId": client_card_id}}


def _device_path(sale: OpenedSale) -> str:
    return f"{DEVICE_API}/{quote(sale.endpoint_id, safe='')}/{quote(sale.invoice_id, safe='')}"


def _text_of(document: Document, *path: str) -> str:
    found: Any = document
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, str) or not found:
        raise NotUnderstood(f"the answer has no {'.'.join(path)}")
    return found
