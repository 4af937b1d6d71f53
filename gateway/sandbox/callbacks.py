"""Final-status callbacks: what is in them, and how long they are sent again."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus

import structlog

from gateway.parties.exchanges import Exchange, Unreachable
from gateway.parties.payment_gateway import PaymentGateway
from gateway.parties.signatures import callback_control
from gateway.sandbox.cards import Decline, Fault
from gateway.sandbox.sales import Sale

_ONE_MORE_CENTIS = 100
_LONGEST_PAUSE_SECONDS = 30.0
_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long the sandbox takes for what; a real one has minutes and days where this has seconds."""

    charge_seconds: float = 0.15
    """To charge a card."""
    slow_seconds: float = 5.0
    """To charge a slow one, and until a late callback."""
    redirect_seconds: float = 300.0
    """For the consumer to confirm on the page; then the card is declined."""
    silence_seconds: float = 60.0
    """Until a request that is not to be answered is: apps give up before."""
    retry_seconds: float = 0.5
    """Before a callback that was not answered with 200 is sent again; twice as long each time."""
    retries: int = 30
    """How often it is sent again."""

    def pauses(self) -> Iterator[float]:
        """Yield how long to wait before each attempt to call back."""
        yield 0.0
        for attempt in range(self.retries):
            yield min(self.retry_seconds * 2 ** min(attempt, 30), _LONGEST_PAUSE_SECONDS)


class Callbacks:
    """Calls the Connecting Party's server back.

    Args:
        gateway: as its client.
        schedule: how long what takes.
    """

    def __init__(self, gateway: PaymentGateway, schedule: Schedule) -> None:
        self._gateway = gateway
        self._schedule = schedule

    async def tell(self, sale: Sale, decline: Decline | None, control_key: str) -> None:
        """Call back how a sale ended, with whatever its card does otherwise.

        Args:
            sale: that ended.
            decline: why it was not approved, if it was not.
            control_key: of the sale's endpoint.
        """
        fault = sale.card.fault
        if fault is Fault.LATE:
            await asyncio.sleep(self._schedule.slow_seconds)
        final = parameters_of(sale, decline, control_key)
        if fault is Fault.OTHER_AMOUNT:
            final["amount"] = _major_units(sale.amount_centis + _ONE_MORE_CENTIS)
        await self._deliver(sale, final, forged_first=fault is Fault.WRONG_CONTROL)
        if fault is Fault.TWICE:
            await self._deliver(sale, final)
        if fault is Fault.OUT_OF_ORDER:
            await self._deliver(sale, parameters_of(sale, decline, control_key, status="processing"))

    async def _deliver(self, sale: Sale, parameters: dict[str, str], *, forged_first: bool = False) -> None:
        """Send a callback until it is answered with 200, or it was tried often enough."""
        known = {"invoice_id": sale.invoice_id, "status": parameters["status"]}
        for attempt, pause in enumerate(self._schedule.pauses(), 1):
            await asyncio.sleep(pause)
            forged = forged_first and attempt == 1
            sent = {**parameters, "control": parameters["control"][::-1]} if forged else parameters
            try:
                exchange = await self._gateway.callback(sent)
            except Unreachable as error:
                _log.warning("sandbox: callback not answered", **known, attempt=attempt, fault=str(error))
                continue
            if exchange.status == HTTPStatus.OK:
                _log.info("sandbox: called back", **known, attempt=attempt)
                return
            _log.warning("sandbox: callback refused", **known, attempt=attempt, **_refusal_of(exchange), forged=forged)
        _log.error("sandbox: callback given up", **known)


def parameters_of(sale: Sale, decline: Decline | None, control_key: str, status: str | None = None) -> dict[str, str]:
    """Return the parameters of a callback.

    Args:
        sale: which it tells of.
        decline: why it was not approved, if it was not.
        control_key: of the sale's endpoint.
        status: another one than that of the end.
    """
    status = status or ("approved" if decline is None else decline.status)
    control = callback_control(control_key, status=status, orderid=sale.order_id, client_orderid=sale.invoice_id)
    end = (
        {"approval-code": sale.order_id[-6:]}
        if decline is None
        else {"error_code": decline.error_code, "error_message": decline.error_message}
    )
    return {
        "status": status,
        "type": "sale",
        "orderid": sale.order_id,
        "client_orderid": sale.invoice_id,
        "merchant_order": sale.invoice_id,
        "amount": _major_units(sale.amount_centis),
        "currency": sale.currency,
        "descriptor": "SANDBOX",
        "bin": str(sale.card.bin),
        "last-four-digits": sale.card.last_four,
        "card-type": sale.card.brand,
        **end,
        "control": control,
    }


def _major_units(centis: int) -> str:
    return f"{centis // 100}.{centis % 100:02d}"


def _refusal_of(exchange: Exchange) -> dict[str, object]:
    error = exchange.answer.get("error") if isinstance(exchange.answer, dict) else None
    return {"http_status": exchange.status, "code": error.get("code") if isinstance(error, dict) else None}
