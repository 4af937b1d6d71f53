"""Failed attempts: guesses of tokens, signatures and invoices are answered late, the later the more there were.

Only the answer to a failed attempt is held back, never one to a request that is right: all checks come from the payment
gateway's one address, and whoever makes it send garbage must not keep the others from being confirmed.

Every such answer leaves a fixed time after its request has come, whatever was found out meanwhile: how long it took
tells nobody whether there is an invoice.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from math import ceil, floor

import structlog

from service.errors import ErrorReason, SaleError
from service.releases import Releases

MAX_REMEMBERED = 10_000
"""Of each kind of subject: those that failed last."""
_FIRST_DELAY_SECONDS = 0.05
_FORGET_SECONDS = 10.0
"""After so long one failure of a subject counts no more."""
_TELL_SECONDS = 10.0
"""How often the log is told at most."""

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Slowness:
    """How failed attempts are slowed."""

    free: int
    """How many of one subject at a time are not."""
    max_delay: timedelta
    """How long an answer is held back at most."""
    max_held: int
    """How many answers are held back at once; further ones don't tell what was wrong."""
    floor: timedelta
    """How long after its request even the first answer leaves; where it took longer, after a multiple of that."""


class Guesses:
    """Counts failed attempts by their subjects, in this process, and holds their answers back.

    Args:
        slowness: how.
        clock: seconds that only go forward.
    """

    def __init__(self, slowness: Slowness, *, clock: Callable[[], float]) -> None:
        self._slowness = slowness
        self._clock = clock
        self._failures: dict[str, OrderedDict[str | bytes, tuple[float, float]]] = {}
        self._releases = Releases(clock)
        self.held = 0
        """How many answers are held back now."""
        self.slowed = 0
        """How many were held back longer than the floor."""
        self.turned_away = 0
        """How many failed attempts were not answered because too many are held back."""
        self._begun: dict[str, int] = {}
        """How many subjects of each kind began to be slowed since the log was told."""
        self._told = float("-inf")

    async def hold_back(self, began: float, subjects: Iterable[tuple[str, str | bytes]]) -> None:
        """Count a failed attempt, and return when its answer may leave.

        Args:
            began: when the request came, by the clock.
            subjects: kind and value of all that it is counted for, such as the address that it came from.

        Raises:
            SaleError: ERROR_REASON_SERVER_UNAVAILABLE, too many are held back: this is to be answered instead.
        """
        delay = self.count(subjects)
        now = self._clock()
        if self.held >= self._slowness.max_held:
            self.turned_away += 1
            raise SaleError(ErrorReason.ERROR_REASON_SERVER_UNAVAILABLE, retry_after_seconds=1)
        step = self._slowness.floor.total_seconds()
        steps = max(1, ceil(max(now - began, delay) / step))
        self.held += 1
        self.slowed += delay > 0
        try:
            await self._releases.wait_until(began + steps * step)
        finally:
            self.held -= 1

    def count(self, subjects: Iterable[tuple[str, str | bytes]]) -> float:
        """Count a failed attempt, and return for how many seconds its answer is to be held back at least.

        Args:
            subjects: as of `hold_back`.
        """
        now = self._clock()
        delay = max((self._count(kind, value, now) for kind, value in subjects), default=0.0)
        self._tell(now)
        return delay

    def _count(self, kind: str, value: str | bytes, now: float) -> float:
        """Count a failure of a subject, and return by how many seconds its answer is to be late."""
        known = self._failures.setdefault(kind, OrderedDict())
        before, time = known.pop(value, (0.0, now))
        limit = self._slowness.max_delay.total_seconds()
        before = max(0.0, before - (now - time) / _FORGET_SECONDS)
        known[value] = (before + 1, now)
        if len(known) > MAX_REMEMBERED:
            known.popitem(last=False)
        beyond = floor(before) - self._slowness.free
        if beyond < 0:
            return 0.0
        if before < self._slowness.free + 1:
            self._begun[kind] = self._begun.get(kind, 0) + 1
        delay = _FIRST_DELAY_SECONDS * 2.0 ** min(beyond, 64)
        if delay >= limit:
            known[value] = (before, now)  # no more than make the longest delay: it is forgotten as fast
        return min(delay, limit)

    def _tell(self, now: float) -> None:
        if self._begun and now - self._told >= _TELL_SECONDS:
            _log.warning("guesses slowed", held=self.held, **self._begun)
            self._told = now
            self._begun = {}
