"""Counters and histograms whose use costs next to nothing: Prometheus' own take ten times as long.

What has been counted is handed on to those once a second, and whenever metrics are read.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Histogram


class Count:
    """One series of a counter.

    Args:
        counter: what it is handed on to.
    """

    __slots__ = ("_counter", "_new")

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._new = 0.0

    def inc(self, amount: float = 1.0) -> None:
        """Count.

        Args:
            amount: how much.
        """
        self._new += amount

    def hand_on(self) -> None:
        """Hand on what is new."""
        if self._new:
            self._counter.inc(self._new)
            self._new = 0.0


class Distribution:
    """One series of a histogram; there is none until it has a value, for most would never have one.

    Args:
        histogram: returns what it is handed on to.
        bounds: of its buckets, without the last one.
    """

    __slots__ = ("_bounds", "_histogram", "_new", "_sum")

    def __init__(self, histogram: Callable[[], Histogram], bounds: Sequence[float]) -> None:
        self._histogram = histogram
        self._bounds = bounds
        self._new = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value.

        Args:
            value: in the histogram's unit.
        """
        self._new[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def hand_on(self) -> None:
        """Hand on what is new."""
        if not any(self._new):
            return
        histogram = self._histogram()
        # Its public method takes one value at a time.
        for bucket, count in zip(histogram._buckets, self._new, strict=True):
            if count:
                bucket.inc(count)
        histogram._sum.inc(self._sum)
        self._new = [0] * len(self._new)
        self._sum = 0.0


class Counts:
    """All series of a counter.

    Args:
        counter: what they are handed on to.
    """

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._series: dict[tuple[str, ...], Count] = {}

    def labels(self, *values: str) -> Count:
        """Return the series with these values of the labels."""
        if (found := self._series.get(values)) is None:
            found = self._series[values] = Count(self._counter.labels(*values) if values else self._counter)
        return found

    def hand_on(self) -> None:
        """Hand on what is new."""
        for series in self._series.values():
            series.hand_on()


class Distributions:
    """All series of a histogram.

    Args:
        histogram: what they are handed on to.
        bounds: of its buckets, without the last one.
    """

    def __init__(self, histogram: Histogram, bounds: Sequence[float]) -> None:
        self._histogram = histogram
        self._bounds = bounds
        self._series: dict[tuple[str, ...], Distribution] = {}

    def labels(self, *values: str) -> Distribution:
        """Return the series with these values of the labels."""
        if (found := self._series.get(values)) is None:
            found = self._series[values] = Distribution(partial(self._child, values), self._bounds)
        return found

    def _child(self, values: tuple[str, ...]) -> Histogram:
        return self._histogram.labels(*values) if values else self._histogram

    def hand_on(self) -> None:
        """Hand on what is new."""
        for series in self._series.values():
            series.hand_on()


class Meters:
    """Makes counters and histograms.

    Args:
        registry: takes them.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._made: list[Counts | Distributions] = []

    def counter(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Counts:
        """Return a counter.

        Args:
            name: without `_total`.
            documentation: what it counts.
            labels: their names.
        """
        made = Counts(Counter(name, documentation, labels, registry=self._registry))
        self._made.append(made)
        return made

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
        histogram = Histogram(name, documentation, labels, buckets=buckets, registry=self._registry)
        made = Distributions(histogram, buckets)
        self._made.append(made)
        return made

    def hand_on(self) -> None:
        """Hand on what is new."""
        for made in self._made:
            made.hand_on()
