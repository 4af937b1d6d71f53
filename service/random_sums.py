"""The random sum check: an amount that only the cardholder can read off the card's statement."""

from dataclasses import dataclass

from service.endpoints import CentisRange
from service.errors import FieldViolation, SaleError
from service.identifiers import Randomness
from service.named_sale import find_named_sale
from service.signing import same
from service.store import Store

MAX_FAILURES = 3
"""So many wrong answers are the last that count: whoever guesses has a small chance only."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What an answer was worth."""

    verified: bool
    remaining_attempts: int
    """How many wrong answers are left."""


def draw_random_sum(limits: CentisRange, randomness: Randomness) -> int:
    """Return an amount in centis from all that are within the limits, each as likely as the others."""
    return limits.min + int.from_bytes(randomness(16)) % (limits.max - limits.min + 1)


class RandomSums:
    """Compares what consumers typed.

    Args:
        store: where the sales are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def verify(self, invoice_id: str, random_sum_centis: int) -> Verification:
        """Compare an amount with the random sum of a sale, in constant time.

        Args:
            invoice_id: the sale's.
            random_sum_centis: what the consumer typed, in centis.

        Raises:
            SaleError: ERROR_REASON_INVOICE_NOT_FOUND; _INVALID_FIELD, the sale has no random sum.
        """
        sale = await find_named_sale(self._store, invoice_id)
        if sale.random_sum_centis is None:
            raise SaleError.invalid_fields([FieldViolation("invoiceId", "is of a sale without a random sum")])
        right = same(f"{sale.random_sum_centis:020}", f"{random_sum_centis:020}")
        failures = await self._store.count_random_sum_answer(invoice_id, failed=not right)
        remaining = max(0, MAX_FAILURES - failures - (not right))
        return Verification(right and failures < MAX_FAILURES, remaining)
