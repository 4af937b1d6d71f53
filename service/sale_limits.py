"""How many sales, and of what amounts, may be initiated within a time by one consumer, from one device, and so on.

Each limit is a bucket for each of those that it counts. A sale fills its part of it, and what is in it runs out at an
even rate, a full one within the window: whoever has used a limit up may go on at that rate, and after a window of
rest has all of it again. Of a bucket it is stored when it will be empty, which tells how full it is (the generic cell
rate algorithm, ITU-T I.371).
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Literal, NamedTuple

from service.addresses import site_of
from service.errors import ErrorReason, SaleError
from service.store import Charge, LimitReached, Sale

LimitSubject = Literal["consumer", "device", "address", "endpoint"]
_SECOND, _MICROSECOND = timedelta(seconds=1), timedelta(microseconds=1)


class _Bucket(NamedTuple):
    """One thing that a limit counts."""

    name: str
    size: int
    taken: int
    """By a sale."""
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class SaleLimit:
    """How much may be sold within a time.

    Raises:
        ValueError: a value makes no sense; the message begins with the name of the setting.
    """

    per: LimitSubject
    """Whose sales are counted together. An address is that of whoever has sent the request, of IPv6 its /64 network."""
    window: timedelta
    """Within which what was taken runs out."""
    sales: int | None = None
    """How many."""
    centis: int | None = None
    """Sum of their amounts, of each currency by itself."""
    endpoint_id: str | None = None
    """Only sales that go to this endpoint are counted; None for all."""

    def __post_init__(self) -> None:
        if self.sales is None and self.centis is None:
            raise ValueError("sales: must be set, or centis")

    def charges(self, sale: Sale, address: str | None) -> Iterator[Charge]:
        """Return what a sale takes of the limit.

        Args:
            sale: a new one.
            address: of whoever initiates it; None if it is not known.

        Raises:
            SaleError: ERROR_REASON_AMOUNT_OUT_OF_LIMITS, the amount is more than the whole limit: no time helps.
        """
        subject = self._subject_of(sale, address)
        if subject is None or self.endpoint_id not in (None, sale.endpoint_id):
            return
        for bucket in self._buckets(sale):
            if bucket.taken > bucket.size:
                raise SaleError(ErrorReason.ERROR_REASON_AMOUNT_OUT_OF_LIMITS)
            which = [self.per, self.endpoint_id, self.window // _MICROSECOND, bucket.name, bucket.currency, subject]
            key = hashlib.sha256(json.dumps(which).encode()).digest()
            yield Charge(key, bucket.taken * self.window // bucket.size, self.window)

    def _buckets(self, sale: Sale) -> Iterator[_Bucket]:
        if self.sales is not None:
            yield _Bucket("sales", self.sales, 1)
        if self.centis is not None:
            yield _Bucket("centis", self.centis, sale.amount_centis, sale.currency)

    def _subject_of(self, sale: Sale, address: str | None) -> str | None:
        if self.per == "address":
            return site_of(address)
        subjects = {"consumer": sale.consumer_id, "device": sale.serial_number, "endpoint": sale.endpoint_id}
        return subjects[self.per]


class SaleLimits:
    """All limits of one server. They can be replaced while it runs; what was taken of one that stays counts on.

    Args:
        limits: the limits to begin with.
    """

    def __init__(self, limits: Sequence[SaleLimit] = ()) -> None:
        self.replace(limits)

    def replace(self, limits: Sequence[SaleLimit]) -> None:
        """Put other limits in the place of all that there are."""
        self._limits = tuple(limits)

    def charges(self, sale: Sale, address: str | None) -> Sequence[Charge]:
        """Return what a sale takes of the limits; as of `SaleLimit.charges`."""
        if not self._limits:
            return ()
        return [charge for limit in self._limits for charge in limit.charges(sale, address)]


def refusal(reached: LimitReached) -> SaleError:
    """Return the refusal of a sale for which a limit has no room: in whole seconds, so that there is room then."""
    return SaleError(ErrorReason.ERROR_REASON_TOO_MANY_SALES, retry_after_seconds=ceil(reached.wait / _SECOND))
