"""What the app asks the sandbox for: documents of the Device API, read strictly and explained when they are wrong."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from connectingparty.sale.v1.error_reason_pb2 import ErrorReason

from gateway.errors import GatewayError
from gateway.sandbox.cards import Card, card_of_number

_MAX_CENTIS = 2**63 - 1
_LONGEST_INTEGER = 19
"""In digits."""


class PerformSale(NamedTuple):
    """A request to charge a card."""

    serial_number: str
    access_token: str
    nonce: str
    signature: str
    amount_centis: int
    currency: str
    card: Card | None
    """None where the saved card is to be charged."""
    client_card_id: str | None


class SaleStatus(NamedTuple):
    """A question how a sale stands."""

    access_token: str
    token: str


def read_perform_sale(document: Mapping[str, Any]) -> PerformSale:
    """Read the document of perform sale.

    Args:
        document: as it was received.

    Raises:
        GatewayError: `ERROR_REASON_INVALID_FIELD`; the message names every field that is wrong.
    """
    fields = _Fields(document)
    read = PerformSale(
        serial_number=fields.text("consumer.device.serialNumber", 1, 50),
        access_token=fields.text("session.accessToken", 32, 128),
        nonce=fields.text("session.nonce", 32, 128),
        signature=fields.text("session.signature", 32, 128),
        amount_centis=fields.integer("transaction.amountCentis", 1, _MAX_CENTIS),
        currency=fields.text("transaction.currency", 3, 3),
        card=_read_card(fields),
        client_card_id=_read_client_card_id(fields),
    )
    fields.require_sound()
    return read


def read_sale_status(document: Mapping[str, Any]) -> SaleStatus:
    """Read the document of sale status.

    Args:
        document: as it was received.

    Raises:
        GatewayError: `ERROR_REASON_INVALID_FIELD`; the message names every field that is wrong.
    """
    fields = _Fields(document)
    read = SaleStatus(fields.text("session.accessToken", 32, 128), fields.text("session.token", 16, 36))
    fields.require_sound()
    return read


def _read_card(fields: "_Fields") -> Card | None:
    if fields.has("sourceOfFunds.reference"):
        if fields.has("sourceOfFunds.card"):
            fields.complain("sourceOfFunds must have card or reference, not both")
        return None
    number = fields.text("sourceOfFunds.card.number", 12, 23)
    fields.integer("sourceOfFunds.card.expiry.month", 1, 12)
    fields.integer("sourceOfFunds.card.expiry.year", 2000, 9999)
    try:
        return card_of_number(number) if number else None
    except ValueError as error:
        fields.complain(f"sourceOfFunds.card.number {error}")
        return None


def _read_client_card_id(fields: "_Fields") -> str | None:
    if not fields.has("sourceOfFunds.reference"):
        return None
    return fields.text("sourceOfFunds.reference.clientCardId", 1, 128)


class _Fields:
    """A document, and what is wrong with it."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._faults: list[str] = []

    def complain(self, fault: str) -> None:
        self._faults.append(fault)

    def require_sound(self) -> None:
        if self._faults:
            raise GatewayError(ErrorReason.ERROR_REASON_INVALID_FIELD, "; ".join(self._faults))

    def has(self, path: str) -> bool:
        return self._find(path) is not None

    def text(self, path: str, shortest: int, longest: int) -> str:
        found = self._find(path)
        if found is None:
            self.complain(f"{path} is required")
        elif not isinstance(found, str) or not shortest <= len(found) <= longest:
            self.complain(f"{path} must be a string of {shortest} to {longest} characters")
        else:
            return found
        return ""

    def integer(self, path: str, least: int, most: int) -> int:
        found = self._find(path)
        if isinstance(found, str) and found.isdecimal() and len(found) <= _LONGEST_INTEGER:
            found = int(found)  # as the contract takes integers: clients send them so, too
        if found is None:
            self.complain(f"{path} is required")
        elif isinstance(found, bool) or not isinstance(found, int) or not least <= found <= most:
            self.complain(f"{path} must be an integer from {least} to {most}")
        else:
            return found
        return 0

    def _find(self, path: str) -> Any:
        found: Any = self._document
        for name in path.split("."):
            found = found.get(name) if isinstance(found, dict) else None
        return found
