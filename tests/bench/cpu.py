"""How much CPU time a call takes."""

import statistics
import time
from collections.abc import Callable

_NANOSECONDS = 1e9


def cpu_us(call: Callable[[], object], *, rounds: int, seconds: float) -> float:
    """Return the microseconds of CPU that a call takes, the median of several rounds.

    Args:
        call: what is measured.
        rounds: how many.
        seconds: how long a round is about, whatever the call takes.
    """
    count = 1
    while (taken := _cpu_seconds(call, count)) < seconds / 10:
        count *= 2
    count = max(1, round(count * seconds / taken))
    return statistics.median(_cpu_seconds(call, count) for _ in range(rounds)) / count * 1e6


def _cpu_seconds(call: Callable[[], object], count: int) -> float:
    begin = time.process_time_ns()
    for _ in range(count):
        call()
    return (time.process_time_ns() - begin) / _NANOSECONDS
