"""What an answer says: that it is done, or that it is refused."""

from typing import Any

from connectingparty.sale.v1.error_reason_pb2 import ErrorCause

from gateway.conformance.exchanges import Exchange
from gateway.conformance.faults import Fault

CAUSES = frozenset(name.removeprefix("ERROR_CAUSE_") for name in ErrorCause.keys()[1:])
_REFUSING = frozenset({"INVALID_REQUEST", "FILTERED"})


def confirmed(exchange: Exchange, expected: str) -> dict[str, Any]:
    """Return the document of an answer that says that it is done.

    Args:
        exchange: with the answer.
        expected: what should have been.

    Raises:
        Fault: it says anything else.
    """
    document = exchange.document
    if exchange.status != 200 or document is None or "error" in document:
        raise Fault(expected, exchange.told(), exchange)
    if exchange.media_type != "application/json":
        raise Fault("Content-Type: application/json", exchange.told(), exchange)
    return document


def refused(exchange: Exchange, expected: str) -> Exchange:
    """Return an answer that refuses what was asked, in whatever form.

    Clients look for an `error` in the body and not at the status; of a body without one the status tells.

    Args:
        exchange: with the answer.
        expected: what should have been.

    Raises:
        Fault: it does what was asked, or the server failed over it.
    """
    if exchange.error is None:
        if not 400 <= exchange.status < 500:
            raise Fault(expected, exchange.told(), exchange)
    elif exchange.error.get("cause") in CAUSES - _REFUSING:
        raise Fault(expected, exchange.told(), exchange)
    return exchange


def require_error_shape(exchange: Exchange) -> dict[str, Any]:
    """Return the `error` of an answer that has the shape which every failure has.

    Raises:
        Fault: it has not.
    """
    shape = '{"error": {"cause": one of four, "code": "digits", "message": "text"}} as application/json'
    error = exchange.error
    if error is None or exchange.media_type != "application/json":
        raise Fault(shape, exchange.told(), exchange)
    if error.get("cause") not in CAUSES:
        raise Fault(f"error.cause to be one of {', '.join(sorted(CAUSES))}", exchange.told(), exchange)
    code = error.get("code")
    if not (isinstance(code, str) and code.isascii() and code.isdecimal()):
        raise Fault("error.code to be a string of decimal digits", exchange.told(), exchange)
    if not (isinstance(error.get("message"), str) and error["message"]):
        raise Fault("error.message to be a text", exchange.told(), exchange)
    return error
