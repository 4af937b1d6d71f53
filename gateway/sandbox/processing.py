"""A sale at the payment gateway: from the app's wish to charge a card to the callback."""

import asyncio
import itertools
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from secrets import randbelow

import structlog
from connectingparty.sale.v1.error_reason_pb2 import ErrorReason

from gateway.errors import GatewayError
from gateway.parties.consumer_app import State
from gateway.parties.exchanges import PeerError, Refused, Unreachable
from gateway.parties.payment_gateway import CheckedSession, PaymentGateway
from gateway.sandbox.callbacks import Callbacks, Schedule
from gateway.sandbox.cards import AMOUNTS, Card, Decline, Fault, Pace
from gateway.sandbox.confirmations import is_signed, require_confirmed, require_noted, saved_card
from gateway.sandbox.requests import PerformSale
from gateway.sandbox.sales import Sale, Sales

_NOT_CONFIRMED = Decline("declined", "1A", "Not confirmed by the consumer")
_log = structlog.stdlib.get_logger(__name__)

ControlKeys = Mapping[str, Sequence[str]]
"""Control keys as they are written, by endpoint id; the first one signs."""


class Processing:
    """What the sandbox does with sales.

    Args:
        gateway: as a client of the Connecting Party's server.
        control_keys: of the endpoints that it has.
        schedule: how long what takes.
        most_sales: how many it remembers.
    """

    def __init__(
        self, gateway: PaymentGateway, control_keys: ControlKeys, schedule: Schedule, most_sales: int = 2_000
    ) -> None:
        self.sales = Sales(most_sales)
        self._gateway = gateway
        self._control_keys = control_keys
        self._schedule = schedule
        self._callbacks = Callbacks(gateway, schedule)
        self._order_ids = itertools.count(10_000_000 + randbelow(80_000_000))

    async def perform(self, endpoint_id: str, invoice_id: str, wish: PerformSale) -> Sale:
        """Check a sale at the Connecting Party's server, and begin to charge the card.

        Args:
            endpoint_id: as the app has it from initiate sale.
            invoice_id: as the app has it from initiate sale.
            wish: what the app sent.

        Returns:
            The sale, still being processed.

        Raises:
            GatewayError: the app's document does not fit, or the Connecting Party's server did not confirm it.
        """
        keys = self._control_keys.get(endpoint_id)
        if keys is None:
            known = ", ".join(sorted(self._control_keys))
            raise _refusal(ErrorReason.ERROR_REASON_PATH_NOT_FOUND, f"endpointId must be one of: {known}", invoice_id)
        if not is_signed(keys, endpoint_id, invoice_id, wish):
            message = (
                "session.signature does not fit: it covers accessToken, serialNumber, endpointId, nonce, invoiceId,"
                f" amountCentis and currency, under the control key of endpoint {endpoint_id}"
            )
            raise _refusal(ErrorReason.ERROR_REASON_SESSION_MISMATCH, message, invoice_id)
        token = str(uuid.uuid4())
        session = CheckedSession(wish.serial_number, wish.access_token, wish.nonce, wish.signature, token)
        card = await self._check(keys, endpoint_id, invoice_id, session, wish)
        order_id = str(next(self._order_ids))
        sale = Sale(
            order_id=order_id,
            endpoint_id=endpoint_id,
            invoice_id=invoice_id,
            session=session,
            amount_centis=wish.amount_centis,
            currency=wish.currency,
            card=card,
            is_saved_card=wish.card is None,
            created=datetime.now(UTC),
        )
        self.sales.add(sale)
        sale.charging = asyncio.create_task(self._charge(sale, keys))
        if card.fault is Fault.UNANSWERED:
            await asyncio.sleep(self._schedule.silence_seconds)
            raise GatewayError(ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, invoice_id=invoice_id)
        return sale

    async def stop(self) -> None:
        """End all that goes on."""
        await self.sales.stop()

    async def _check(
        self, keys: Sequence[str], endpoint_id: str, invoice_id: str, session: CheckedSession, wish: PerformSale
    ) -> Card:
        """Return the card that is to be charged, once the Connecting Party's server has confirmed the session."""
        asked = session
        if wish.card is not None and wish.card.fault is Fault.WRONG_SESSION_SIGNATURE:
            asked = session._replace(signature=session.signature[::-1])
        try:
            exchange = await self._gateway.check(invoice_id, asked, wish.client_card_id)
            answer = exchange.document()
            require_confirmed(answer, session, keys, endpoint_id, invoice_id)
            card = wish.card or saved_card(answer)
        except PeerError as error:
            _log.warning(
                "sandbox: check failed", invoice_id=invoice_id, fault=type(error).__name__, code=_code_of(error)
            )
            raise _not_checked(error, invoice_id) from None
        _log.info("sandbox: check confirmed", invoice_id=invoice_id, test_card=card.name, saved=wish.card is None)
        return card

    async def _charge(self, sale: Sale, keys: Sequence[str]) -> None:
        if sale.card.pace is Pace.NEVER:
            return
        is_slow = sale.card.pace is Pace.SLOW
        await asyncio.sleep(self._schedule.slow_seconds if is_slow else self._schedule.charge_seconds)
        decline = AMOUNTS.get(sale.amount_centis) or sale.card.decline
        if decline is None and sale.card.redirects and not await self._is_confirmed(sale):
            decline = _NOT_CONFIRMED
        if decline is None and not sale.is_saved_card:
            await self._notify(sale, keys)
        sale.state = State.APPROVED if decline is None else State.DECLINED
        sale.changed = datetime.now(UTC)
        status = "approved" if decline is None else decline.status
        _log.info("sandbox: charged", invoice_id=sale.invoice_id, order_id=sale.order_id, status=status)
        await self._callbacks.tell(sale, decline, keys[0])

    async def _is_confirmed(self, sale: Sale) -> bool:
        sale.state = State.REDIRECT_REQUEST
        _log.info("sandbox: waits for the consumer", invoice_id=sale.invoice_id)
        try:
            return await asyncio.wait_for(sale.confirmed, self._schedule.redirect_seconds)
        except TimeoutError:
            return False
        finally:
            sale.state = State.PROCESSING

    async def _notify(self, sale: Sale, keys: Sequence[str]) -> None:
        """Tell the id of the card; a sale goes on without."""
        card, session = sale.card, sale.session
        try:
            exchange = await self._gateway.notify(session, card.bin, card.server_card_id, card.unique_reference_card_id)
            require_noted(exchange.document(), session, keys, sale.endpoint_id, sale.invoice_id)
        except PeerError as error:
            _log.warning("sandbox: card not saved", invoice_id=sale.invoice_id, code=_code_of(error), fault=str(error))
        else:
            _log.info("sandbox: card saved", invoice_id=sale.invoice_id)


def _code_of(error: PeerError) -> str | None:
    return error.code if isinstance(error, Refused) else None


def _not_checked(error: PeerError, invoice_id: str) -> GatewayError:
    """Return how the app is told that the Connecting Party's server did not confirm its sale."""
    if isinstance(error, Refused):
        names = {str(number): name for name, number in ErrorReason.items()}
        reason = ErrorReason.Value(names.get(error.code, "ERROR_REASON_SERVER_FAILED"))
        words = f"refused the check: {error.message}"
    elif isinstance(error, Unreachable):
        reason, words = ErrorReason.ERROR_REASON_SERVER_UNAVAILABLE, f"can't be asked: {error}"
    else:
        reason, words = ErrorReason.ERROR_REASON_SERVER_FAILED, f"answered the check wrongly: {error}"
    return _refusal(reason, f"The Connecting Party's server {words}", invoice_id)


def _refusal(reason: ErrorReason.ValueType, message: str, invoice_id: str) -> GatewayError:
    return GatewayError(reason, message, invoice_id=invoice_id)
