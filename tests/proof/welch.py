"""Welch's t: whether two kinds of measurements have the same mean."""

import math
import statistics
from collections.abc import Sequence

BOUND = 4.5
"""Of |t|: more comes by chance once in 150,000 times (ISO/IEC 17825 asks for the same)."""


def cropped(*samples: Sequence[float], share: float = 0.9) -> list[list[float]]:
    """Return the samples without what is larger than this share of all of them: the moments when others had the CPU."""
    together = sorted(value for sample in samples for value in sample)
    limit = together[int(share * (len(together) - 1))]
    return [[value for value in sample if value <= limit] for sample in samples]


def t_of(one: Sequence[float], other: Sequence[float]) -> float:
    """Return Welch's t of two samples."""
    difference = statistics.fmean(one) - statistics.fmean(other)
    spread = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    return difference / math.sqrt(spread) if spread else math.copysign(math.inf, difference) if difference else 0.0
