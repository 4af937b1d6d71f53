"""What measures: counters and histograms, as the program brings them."""

from collections.abc import Sequence
from typing import Protocol


class Count(Protocol):
    """One series of a counter."""

    def inc(self, amount: float = 1.0) -> None:
        """Count so much."""


class Distribution(Protocol):
    """One series of a histogram."""

    def observe(self, value: float) -> None:
        """Count a value, in the histogram's unit."""


class Counts(Protocol):
    """All series of a counter."""

    def labels(self, *values: str) -> Count:
        """Return the series with these values of the labels; it begins at zero."""


class Distributions(Protocol):
    """All series of a histogram."""

    def labels(self, *values: str) -> Distribution:
        """Return the series with these values of the labels."""


class Meters(Protocol):
    """Makes counters and histograms."""

    def counter(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Counts:
        """Return a counter.

        Args:
            name: without `_total`.
            documentation: what it counts.
            labels: their names.
        """

    def histogram(
        self, name: str, documentation: str, buckets: Sequence[float], labels: Sequence[str] = ()
    ) -> Distributions:
        """Return a histogram.

        Args:
            name: with its unit.
            documentation: what it measures.
            buckets: their upper bounds, ascending.
            labels: their names.
        """
