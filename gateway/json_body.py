"""Reads JSON strictly (RFC 8259): what two parsers could understand differently is refused.

The standard library's decoder is the only one at hand that can see a key that is there twice.
"""

import json
import re
from typing import Any

from connectingparty.sale.v1.error_reason_pb2 import ErrorReason

from gateway.errors import GatewayError

MAX_DEPTH = 32
"""How deep objects and arrays may nest."""

_MAX_INTEGER_DIGITS = 20  # with its sign; enough for 64 bits
# A string counts as closed at the end of the body: it has to match at its first quote, or each quote in it is tried.
_TOKENS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def parse_object(body: bytes) -> dict[str, Any]:
    """Read the body of a request.

    Args:
        body: as it was received.

    Returns:
        The object. An integer that no 64-bit field could take is there as a float.

    Raises:
        GatewayError: `ERROR_REASON_MALFORMED_REQUEST`; the message says what is wrong and never quotes the body.
    """
    if not body:
        raise _malformed("The body is empty; send a JSON object.")
    if _depth_exceeds(body, MAX_DEPTH):
        raise _malformed(f"The body nests deeper than {MAX_DEPTH} levels.")
    try:
        value = _DECODER.decode(body.decode())
    except UnicodeDecodeError:
        raise _malformed("The body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise _malformed(f"The body is not JSON: {error.msg} at line {error.lineno} column {error.colno}.") from None
    if not isinstance(value, dict):
        raise _malformed("The body is not a JSON object.")
    return value


def _malformed(message: str) -> GatewayError:
    return GatewayError(ErrorReason.ERROR_REASON_MALFORMED_REQUEST, message)


def _object_of_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise _malformed("The body has an object with the same key twice.")
    return result


def _refuse_constant(constant: str) -> Any:
    raise _malformed("The body is not JSON: there are no NaN and no Infinity in it.")


def _parse_integer(digits: str) -> int | float:
    # int() takes time quadratic in the number of digits, and refuses more than 4,300.
    return int(digits) if len(digits) <= _MAX_INTEGER_DIGITS else float(digits)


def _depth_exceeds(body: bytes, limit: int) -> bool:
    # The decoder recurses, so this is known before it begins; only a body with many brackets is read twice.
    if body.count(b"{") + body.count(b"[") <= limit:
        return False
    depth = 0
    for token in _TOKENS.finditer(body):
        match token.group():
            case b"{" | b"[":
                depth += 1
                if depth > limit:
                    return True
            case b"}" | b"]":
                depth -= 1
    return False


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object_of_pairs, parse_constant=_refuse_constant, parse_int=_parse_integer
)
