"""How a sale ended: the payment gateway's final-status callback, and reports of the merchant's own systems."""

import re
from dataclasses import dataclass
from decimal import Decimal, localcontext

from service.call_log import tell
from service.endpoints import Endpoint, Endpoints
from service.errors import ErrorReason, FieldViolation, SaleError
from service.identifiers import Clock
from service.named_sale import bind_to_log, find_named_sale
from service.sale_states import SaleState, state_name, words_of
from service.signing import callback_control, same_signature
from service.store import MAX_OTHER_REPORTS, Sale, StatusReport, Store

_SALE_TYPE = "sale"
_DECIMAL = re.compile(r"[0-9]+(?:[.][0-9]+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Callback:
    """What the payment gateway tells at the end of a sale. Every value is within the bounds of the proto."""

    status: str
    orderid: str
    client_orderid: str
    """Our invoice id."""
    control: str
    """Hexadecimal SHA-1, in either case."""
    parameters: tuple[tuple[str, str], ...]
    """Name and value of all that was sent."""
    type: str = _SALE_TYPE
    amount: str | None = None
    """In major units."""


class StatusReports:
    """Takes reports of how sales ended.

    Args:
        store: where they are stored.
        endpoints: whose control keys the callbacks are verified with.
        clock: the time.
    """

    def __init__(self, store: Store, endpoints: Endpoints, *, clock: Clock) -> None:
        self._store = store
        self._endpoints = endpoints
        self._clock = clock

    async def receive_callback(self, callback: Callback) -> None:
        """Store a callback, and make the moves that it asks for if they are legal.

        Args:
            callback: as it was sent.

        Raises:
            SaleError: ERROR_REASON_INVOICE_NOT_FOUND, _CALLER_NOT_PERMITTED, _CONTROL_MISMATCH, _INVALID_FIELD (too
                much was reported that tells of nothing known) or _SERVER_UNAVAILABLE; nothing was changed, but the last
                leaves open whether it was.
        """
        sale = await find_named_sale(self._store, callback.client_orderid)
        endpoint = self._endpoints.require(sale.endpoint_id)
        endpoint.require_payment_gateway()
        if not _is_authentic(callback, endpoint):
            tell(claimed_invoice_id=sale.invoice_id, provider=endpoint.provider)
            raise SaleError(ErrorReason.ERROR_REASON_CONTROL_MISMATCH)
        bind_to_log(sale, self._endpoints)
        report = StatusReport(
            invoice_id=sale.invoice_id,
            type=callback.type,
            status=callback.status,
            orderid=callback.orderid,
            amount=callback.amount,
            amount_differs=amount_differs(callback.amount, sale.amount_centis),
            parameters=callback.parameters,
            receive_time=self._clock(),
        )
        if await self._store.report_status(report, must_move=False) is None:
            words = f"is one of more than {MAX_OTHER_REPORTS} that are not known, and were reported of this sale"
            raise SaleError.invalid_fields([FieldViolation("type", words)])

    async def report(
        self, invoice_id: str, state: SaleState.ValueType, orderid: str | None, amount_centis: int | None
    ) -> Sale:
        """Take a result that one of the merchant's own systems has learnt elsewhere.

        Args:
            invoice_id: the sale's.
            state: how it ended: a state that the payment gateway can report.
            orderid: the payment gateway's id of the order, if it is known.
            amount_centis: the amount that was charged or taken back in centis, if it is known.

        Returns:
            The sale as it is now.

        Raises:
            SaleError: ERROR_REASON_INVOICE_NOT_FOUND; _SESSION_ALREADY_CHECKED, the move is not legal. Nothing was
                changed.
        """
        sale = await find_named_sale(self._store, invoice_id)
        bind_to_log(sale, self._endpoints)
        type, status = words_of(state)
        report = StatusReport(
            invoice_id=sale.invoice_id,
            type=type,
            status=status,
            orderid=orderid or "",
            amount=None if amount_centis is None else f"{amount_centis // 100}.{amount_centis % 100:02}",
            amount_differs=amount_centis not in (None, sale.amount_centis),
            parameters=(),
            receive_time=self._clock(),
        )
        reported = await self._store.report_status(report, must_move=True)
        if reported is None:
            reported = await find_named_sale(self._store, invoice_id)
            if reported.state != state:
                raise SaleError(
                    ErrorReason.ERROR_REASON_SESSION_ALREADY_CHECKED,
                    f"The sale is {state_name(reported.state)}; it can't become that.",
                )
        return reported


def amount_differs(amount: str | None, amount_centis: int) -> bool:
    """Tell whether an amount in major units is another one than so many centis, or is no decimal number.

    Args:
        amount: as the payment gateway wrote it, at most 64 characters; None or empty if it wrote none.
        amount_centis: the sale's.
    """
    if not amount:
        return False
    if _DECIMAL.fullmatch(amount) is None:
        return True
    with localcontext(prec=len(amount)):  # nothing is rounded
        return Decimal(amount).scaleb(2) != amount_centis


def _is_authentic(callback: Callback, endpoint: Endpoint) -> bool:
    matches = [
        same_signature(
            callback.control,
            callback_control(
                key, status=callback.status, orderid=callback.orderid, client_orderid=callback.client_orderid
            ),
        )
        for key in endpoint.control_keys
    ]
    return any(matches)  # every key was tried, so that the time taken does not tell which one it was
