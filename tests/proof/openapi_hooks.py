"""What Schemathesis has to be told of the server; it imports this module."""

import re
from typing import Any

import schemathesis

_KEY = "Idempotency-Key"
_SHORT_KEY = re.compile("[!-~](?:[ -~]{0,200}[!-~])?")


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """Write whole numbers as integers, and make each idempotency key one that was never used.

    JSON Schema counts 10.0 as an integer and has no way to say otherwise; the server takes integers that are written as
    such only, because what reads a fraction may round it. Nor can it say that a key belongs to one request.
    """
    case.body = _without_fractions(case.body)
    if _SHORT_KEY.fullmatch(str(case.headers.get(_KEY, ""))):
        case.headers[_KEY] = f"{case.headers[_KEY]}.{case.id}"


def _without_fractions(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_without_fractions(item) for item in value]
    if isinstance(value, dict):
        return {name: _without_fractions(member) for name, member in value.items()}
    return value
