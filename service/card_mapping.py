"""The card mapping notification: the payment gateway's id of a card becomes a card of the sale's consumer."""

from dataclasses import dataclass

from service.access_tokens import AccessTokens
from service.audit import AuditAction, AuditLog
from service.call_log import tell
from service.endpoints import Endpoints
from service.errors import ErrorReason, SaleError
from service.identifiers import Clock, Randomness, hash_access_token, new_client_card_id
from service.named_sale import bind_to_log
from service.signing import notification_signature
from service.store import Sale, Store, StoredCard

_BIN_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Notification:
    """What the payment gateway tells of a card. Every value is within the bounds of the proto."""

    access_token: str
    serial_number: str
    session_token: str
    server_card_id: str | None = None
    unique_reference_card_id: int | None = None
    bin: int | None = None
    """First digits of the card number."""


@dataclass(frozen=True, slots=True)
class AcknowledgedMapping:
    """A notification that was taken."""

    sale: Sale
    session_token: str
    check_signature: str


class CardMapping:
    """Maps the payment gateway's ids of cards to ours.

    Args:
        store: where both are stored.
        endpoints: where the sales go.
        access_tokens: who may ask for an id.
        audit_log: what tells of new cards.
        clock: the time.
        randomness: what our ids are made of.
    """

    def __init__(
        self,
        store: Store,
        endpoints: Endpoints,
        access_tokens: AccessTokens,
        audit_log: AuditLog,
        *,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._store = store
        self._endpoints = endpoints
        self._access_tokens = access_tokens
        self._audit_log = audit_log
        self._clock = clock
        self._randomness = randomness

    async def notify(self, notification: Notification) -> AcknowledgedMapping:
        """Store the mapping of a card.

        Args:
            notification: as it was sent.

        Returns:
            The acknowledgement: the same one for the same notification, however often it is sent.

        Raises:
            SaleError: ERROR_REASON_INVOICE_NOT_FOUND, no sale has this session token; _SESSION_MISMATCH, none of those
                that have is of this device and access token; _CALLER_NOT_PERMITTED; _SERVER_UNAVAILABLE.
        """
        sale = await self._store.find_sale_by_session(
            notification.session_token, hash_access_token(notification.access_token), notification.serial_number
        )
        if sale is None:
            claimed = await self._store.find_invoices_of_session(notification.session_token, 2)
            if len(claimed) == 1:
                tell(claimed_invoice_id=claimed[0])
            raise SaleError(
                ErrorReason.ERROR_REASON_SESSION_MISMATCH if claimed else ErrorReason.ERROR_REASON_INVOICE_NOT_FOUND
            )
        bind_to_log(sale, self._endpoints)
        endpoint = self._endpoints.require(sale.endpoint_id)
        endpoint.require_payment_gateway()
        if notification.server_card_id is not None:
            card = self._new_card(sale, notification)
            audit = self._audit_log.entry(
                AuditAction.CARD_PUT,
                card.client_card_id,
                consumer_id=card.consumer_id,
                invoice_id=sale.invoice_id,
                endpoint_id=sale.endpoint_id,
            )
            await self._store.map_card(sale.invoice_id, card, audit)
        signature = notification_signature(
            endpoint.control_keys[0], nonce=sale.nonce, endpoint_id=sale.endpoint_id, invoice_id=sale.invoice_id
        )
        return AcknowledgedMapping(sale, notification.session_token, endpoint.in_case(signature))

    async def find_client_card_id(self, invoice_id: str, access_token: str, serial_number: str) -> str:
        """Return the id of the card that a sale was paid with, for the sale's own consumer.

        Args:
            invoice_id: the sale's.
            access_token: that it was initiated with; it has to count still.
            serial_number: of the device that asks.

        Raises:
            SaleError: ERROR_REASON_INVOICE_NOT_FOUND; _SESSION_MISMATCH, it is another consumer's;
                _ACCESS_TOKEN_INVALID, the token has expired or was revoked; _CLIENT_CARD_NOT_FOUND, no card is saved,
                or not any more.
        """
        sale = await self._store.find_own_sale(invoice_id, hash_access_token(access_token), serial_number)
        if sale is None:
            known = await self._store.has_sale(invoice_id)
            raise SaleError(
                ErrorReason.ERROR_REASON_SESSION_MISMATCH if known else ErrorReason.ERROR_REASON_INVOICE_NOT_FOUND
            )
        bind_to_log(sale, self._endpoints)
        await self._access_tokens.authenticate(access_token, serial_number)
        card_id = sale.client_card_id
        if card_id is None or await self._store.find_card(sale.consumer_id, card_id) is None:
            raise SaleError(ErrorReason.ERROR_REASON_CLIENT_CARD_NOT_FOUND, "No card is saved with this sale.")
        return card_id

    def _new_card(self, sale: Sale, notification: Notification) -> StoredCard:
        now = self._clock()
        return StoredCard(
            client_card_id=new_client_card_id(now, self._randomness),
            consumer_id=sale.consumer_id,
            create_time=now,
            endpoint_id=sale.endpoint_id,
            server_card_id=notification.server_card_id,
            unique_reference_card_id=notification.unique_reference_card_id,
            bin=None if notification.bin is None else f"{notification.bin:0{_BIN_DIGITS}}",
            email=sale.email,
            invoice_id=sale.invoice_id,
        )
