"""The test cards and test amounts: what the sandbox does with each. The one table of them."""

import hashlib
import re
from enum import Enum
from typing import NamedTuple

from gateway.parties.consumer_app import State

_NUMBER = re.compile(r"\d{12,19}", re.ASCII)
_SHORTEST_NUMBER = 12
REFUSED = "REFUSED"
"""What becomes of a sale that the payment gateway does not take: it has no state there."""
NO_ANSWER = "NO_ANSWER"
"""What the app knows of a sale where perform sale was not answered."""


class Pace(Enum):
    """How long it takes to charge a card."""

    PROMPT = "prompt"
    SLOW = "slow"
    NEVER = "never"


class Fault(Enum):
    """What the sandbox does otherwise than a payment gateway should."""

    WRONG_SESSION_SIGNATURE = "the check has another signature than the app sent"
    UNANSWERED = "perform sale is not answered, and the card is charged"
    WRONG_CONTROL = "the first callback has a wrong control"
    TWICE = "the callback comes twice"
    LATE = "the callback comes long after the app was told"
    OUT_OF_ORDER = "a callback of an earlier status comes after the final one"
    OTHER_AMOUNT = "the callback has another amount"


class Decline(NamedTuple):
    """Why a card is not charged, as the callback has it."""

    status: str
    """Of the callback: declined, filtered or error."""
    error_code: str
    error_message: str


class Card(NamedTuple):
    """A card, and what the sandbox does with it."""

    name: str
    """For the command line."""
    number: str
    does: str
    """For people, in one line."""
    decline: Decline | None = None
    """None: it is approved."""
    redirects: bool = False
    """Whether the consumer has to confirm on a page."""
    pace: Pace = Pace.PROMPT
    fault: Fault | None = None

    @property
    def promise(self) -> str:
        """How a sale with it stands in the end, as an app sees it: a state, `REFUSED` or `NO_ANSWER`."""
        if self.fault is Fault.WRONG_SESSION_SIGNATURE:
            return REFUSED
        if self.fault is Fault.UNANSWERED:
            return NO_ANSWER
        if self.pace is Pace.NEVER:
            return State.PROCESSING
        return State.APPROVED if self.decline is None else State.DECLINED

    @property
    def bin(self) -> int:
        """Its first six digits."""
        return int(self.number[:6])

    @property
    def last_four(self) -> str:
        """Its last four digits."""
        return self.number[-4:]

    @property
    def brand(self) -> str:
        """The name of its scheme."""
        return {"3": "AMEX", "4": "VISA", "6": "DISCOVER"}.get(self.number[0], "MASTERCARD")

    @property
    def server_card_id(self) -> str:
        """The sandbox's id of the card: the same at each start."""
        return str(_number_of("card", self.number))

    @property
    def unique_reference_card_id(self) -> int:
        """Its id of the card number."""
        return _number_of("number", self.number)


def _number_of(kind: str, number: str) -> int:
    """Return a positive integer of 63 bits for a card number."""
    digest = hashlib.sha256(f"{kind} {number}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 1 or 1


CARDS = (
    Card("approved", "4444555566661111", "approved, and saved for the next sale"),
    Card("approved-2", "5555555555554444", "approved as well: a second card of the consumer's"),
    Card("declined", "4000000000000002", "declined", Decline("declined", "05", "Do not honor")),
    Card("no-funds", "4000000000009995", "declined", Decline("declined", "51", "Not sufficient funds")),
    Card("filtered", "4100000000000019", "filtered as fraud", Decline("filtered", "59", "Suspected fraud")),
    Card("error", "4000000000000119", "the bank fails", Decline("error", "96", "System malfunction")),
    Card("3ds", "4000000000003220", "the consumer confirms on a page, then approved", redirects=True),
    Card("slow", "4000000000000077", "approved after some seconds", pace=Pace.SLOW),
    Card("silent", "4000000000000341", "stays PROCESSING, never called back", pace=Pace.NEVER),
    Card("unanswered", "4000000000000069", "approved, but perform sale has no answer", fault=Fault.UNANSWERED),
    Card("wrong-signature", "4000000000000101", "refused at the check", fault=Fault.WRONG_SESSION_SIGNATURE),
    Card("wrong-control", "4000000000000127", "approved; first callback forged", fault=Fault.WRONG_CONTROL),
    Card("twice", "4000000000000259", "approved; called back twice", fault=Fault.TWICE),
    Card("late", "4000000000002685", "approved; called back seconds later", fault=Fault.LATE),
    Card("out-of-order", "4000000000001976", "approved, then called back as processing", fault=Fault.OUT_OF_ORDER),
    Card("other-amount", "4000000000005423", "approved; called back with 1.00 more", fault=Fault.OTHER_AMOUNT),
)
"""Any other card number is approved."""

AMOUNTS = {
    101: Decline("declined", "54", "Expired card"),
    116: Decline("declined", "51", "Not sufficient funds"),
    209: Decline("declined", "43", "Stolen card"),
}
"""Sales of so many centis are declined, whatever the card."""

_BY_NUMBER = {card.number: card for card in CARDS}
_BY_SERVER_ID = {card.server_card_id: card for card in CARDS}


def card_of_number(number: str) -> Card:
    """Return what is done with a card number.

    Args:
        number: its digits, with or without spaces.

    Raises:
        ValueError: it is none.
    """
    digits = number.replace(" ", "")
    if _NUMBER.fullmatch(digits) is None or not _has_check_digit(digits):
        raise ValueError("must be 12 to 19 digits, of which the last one is the check digit (Luhn)")
    return _BY_NUMBER.get(digits) or Card("other", digits, "approved")


def card_of_server_id(server_card_id: str) -> Card:
    """Return what is done with a saved card.

    Args:
        server_card_id: as the sandbox gave it out; one that it does not know is approved.
    """
    unknown = Card("other", "0" * _SHORTEST_NUMBER, "approved")
    return _BY_SERVER_ID.get(server_card_id, unknown)


def card_of_name(name: str) -> Card:
    """Return a card of the table.

    Raises:
        LookupError: there is none of this name.
    """
    for card in CARDS:
        if card.name == name:
            return card
    raise LookupError(name)


def _has_check_digit(digits: str) -> bool:
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + position % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
