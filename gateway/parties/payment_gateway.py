"""The payment gateway as a client of a Connecting Party's server: check sale, notification, callback."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from gateway.parties.exchanges import Exchange, Peer


class CheckedSession(NamedTuple):
    """What a payment gateway has got from the app, with a token of its own: what check sale asks about."""

    serial_number: str
    access_token: str
    nonce: str
    signature: str
    token: str


class PaymentGateway:
    """A payment gateway; it judges no answer.

    Args:
        server: of the Connecting Party.
    """

    def __init__(self, server: Peer) -> None:
        self._server = server

    async def check(self, invoice_id: str, session: CheckedSession, client_card_id: str | None = None) -> Exchange:
        """Ask whether a session is the one that was opened.

        Args:
            invoice_id: of the sale.
            session: as the app presented it.
            client_card_id: of the saved card that is to be charged; None for a card that the app sent.

        Raises:
            Unreachable: nothing came back in time.
        """
        document: dict[str, Any] = {
            "consumer": {"device": {"serialNumber": session.serial_number}},
            "session": {
                "accessToken": session.access_token,
                "nonce": session.nonce,
                "signature": session.signature,
                "token": session.token,
            },
        }
        if client_card_id is not None:
            document["sourceOfFunds"] = {"reference": {"clientCardId": client_card_id}}
        return await self._server.post(f"/sale/{quote(invoice_id, safe='')}/check", document)

    async def notify(
        self, session: CheckedSession, bin: int, server_card_id: str, unique_reference_card_id: int
    ) -> Exchange:
        """Tell which id the card has got.

        Args:
            session: that was checked.
            bin: the first six digits of the card.
            server_card_id: the payment gateway's id of the card with its expiry.
            unique_reference_card_id: its id of the card number.

        Raises:
            Unreachable: nothing came back in time.
        """
        document = {
            "consumer": {"device": {"serialNumber": session.serial_number}},
            "session": {"accessToken": session.access_token, "token": session.token},
            "sourceCard": {
                "bin": bin,
                "reference": {"serverCardId": server_card_id, "uniqueReferenceCardId": unique_reference_card_id},
            },
        }
        return await self._server.post("/sale/notification", document)

    async def callback(self, parameters: Mapping[str, str]) -> Exchange:
        """Tell how a sale ended.

        Args:
            parameters: of the query, with their `control`.

        Raises:
            Unreachable: nothing came back in time.
        """
        return await self._server.get("/sale/callback", parameters)
