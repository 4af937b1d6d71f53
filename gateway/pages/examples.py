"""A working request of each operation, and where its values come from.

As everywhere in this API, what has one JSON path is one thing: the `session.nonce` of an answer is the `session.nonce`
of the request that follows.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.pages.fields import Field

FLOW = ("RequestAccessToken", "InitiateSale", "CheckSale", "NotifyCardMapping", "ReceiveCallback", "GetClientIds")
"""The operations of a sale in the order in which they follow each other."""

EXAMPLES: Mapping[str, Any] = {
    "consumer.device.serialNumber": "R58M123ABC",
    "consumer.device.imei": "356938035643809",
    "consumer.ipAddresses[]": "192.0.2.17",
    "location.lat": 48.1372,
    "location.lng": 11.5761,
    "transaction.amountCentis": 1042,
    "transaction.currency": "EUR",
    "session.token": "5f3a9c1e-77aa-4c9e-9b1d-0242ac120002",
    "sourceCard.bin": 444455,
    "sourceCard.reference.serverCardId": "77000001",
    "sourceCard.reference.uniqueReferenceCardId": 4711,
    "status": "approved",
    "orderid": "5624444",
    "type": "sale",
    "amount": "10.42",
}
"""By JSON path, what is known beforehand."""
SAME: Mapping[str, str] = {
    "client_orderid": "invoiceId",
    "invoice_id": "invoiceId",
    "sourceOfFunds.reference.clientCardId": "sourceCardRefId",
}
"""Values that have another path in the answer in which they are told first."""
_USUAL = re.compile(r"sourceCard\..+|type|amount")
"""What payment gateways send though it is not required."""


def example_of(field: Field) -> Any:
    """Return a value for a field; where an earlier answer tells it, its path there in braces."""
    return EXAMPLES.get(field.path, f"{{{SAME.get(field.path, field.path)}}}")


def is_usual(field: Field) -> bool:
    """Tell whether a field is usually sent."""
    return field.is_required or _USUAL.fullmatch(field.path) is not None


def document_of(fields: Iterable[Field]) -> dict[str, Any]:
    """Return a document with an example of every field.

    Args:
        fields: what is to be in it.
    """
    document: dict[str, Any] = {}
    for field in fields:
        *parents, name = field.path.removesuffix("[]").split(".")
        inner = document
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[name] = [example_of(field)] if field.path.endswith("[]") else example_of(field)
    return document
