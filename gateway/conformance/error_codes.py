"""The numbers of errors and their HTTP statuses, as this project has them for every server."""

from collections.abc import Awaitable
from typing import TypeAlias

from connectingparty.sale.v1.error_reason_pb2 import ErrorReason, error_kind

from gateway.conformance.documents import check_document, new_session_token, with_member
from gateway.conformance.exchanges import Exchange, Request
from gateway.conformance.faults import Fault, all_hold
from gateway.conformance.requirements import Subject
from gateway.conformance.trade import JSON_TYPE, Trade

SUBJECT = Subject("errors", "Error codes", "contract, Errors")

_MAX_DIGITS = 9
Reason: TypeAlias = ErrorReason.ValueType


@SUBJECT.should(
    "codes", "Each kind of error has the code of the contract's table, such as 1001 for a wrong field.", waits=True
)
async def codes(trade: Trade) -> None:
    """Provoke every kind that can be."""

    async def case(reason: Reason, request: Awaitable[Exchange]) -> None:
        exchange = await request
        if exchange.error is not None:
            trade.refusals.append(exchange)
        if (exchange.error or {}).get("code") != str(int(reason)):
            raise Fault(f"error.code {int(reason)} ({_told(reason)})", exchange.told(), exchange)

    await all_hold(*(case(reason, request) for reason, request in (await _cases(trade)).items()))


@SUBJECT.should("statuses", "Each refusal that was seen has the HTTP status that belongs to its code.", last=True)
async def statuses(trade: Trade) -> None:
    """Look at the refusals of all other requirements."""
    for exchange in trade.refusals:
        reason = ErrorReason.DESCRIPTOR.values_by_number.get(_number(exchange))
        if reason is None:
            continue
        status = reason.GetOptions().Extensions[error_kind].http_status
        if exchange.status != status:
            raise Fault(f"HTTP {status} with error.code {reason.number}", exchange.told(), exchange)


def _number(exchange: Exchange) -> int:
    code = (exchange.error or {}).get("code")
    return int(code) if isinstance(code, str) and code.isdecimal() and len(code) <= _MAX_DIGITS else 0


def _told(reason: Reason) -> str:
    return ErrorReason.Name(reason).removeprefix("ERROR_REASON_").lower().replace("_", " ")


async def _cases(trade: Trade) -> dict[Reason, Awaitable[Exchange]]:
    """Return a request of each kind that is refused; they are sent when they are waited for."""
    checked = await trade.checked()
    initiate = f"{trade.terms.target}/sale/initiate-sale"
    unknown_path = f"{trade.terms.target}/verify-no-such-path"
    document = check_document(checked.sale, checked.token)
    card = with_member(document, "sourceOfFunds.reference.clientCardId", new_session_token())
    callback = {"status": "approved", "orderid": "1", "client_orderid": checked.sale.invoice_id, "control": "0" * 40}
    return {
        ErrorReason.ERROR_REASON_MALFORMED_REQUEST: trade.initiate(b"nonsense"),
        ErrorReason.ERROR_REASON_INVALID_FIELD: trade.initiate({}),
        ErrorReason.ERROR_REASON_UNSUPPORTED_MEDIA_TYPE: trade.send(
            Request("POST", initiate, (("Content-Type", "text/plain"),), b"{}")
        ),
        ErrorReason.ERROR_REASON_PATH_NOT_FOUND: trade.send(Request("POST", unknown_path, (JSON_TYPE,), b"{}")),
        ErrorReason.ERROR_REASON_METHOD_NOT_ALLOWED: trade.send(Request("DELETE", initiate)),
        ErrorReason.ERROR_REASON_SESSION_MISMATCH: trade.check(
            checked.sale, with_member(document, "session.nonce", "f" * 64)
        ),
        ErrorReason.ERROR_REASON_INVOICE_NOT_FOUND: trade.check(checked.sale, document, new_session_token()),
        ErrorReason.ERROR_REASON_SESSION_ALREADY_CHECKED: trade.check(checked.sale, check_document(checked.sale)),
        ErrorReason.ERROR_REASON_CLIENT_CARD_NOT_FOUND: trade.check(checked.sale, card),
        ErrorReason.ERROR_REASON_CONTROL_MISMATCH: trade.call_back(callback),
    }
