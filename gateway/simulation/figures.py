"""Figures of many sales: how they ended, and how long each step took."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from gateway.simulation.sales import Outcome, Step

_WHOLE_SALE = "whole sale"


class Durations(NamedTuple):
    """How long a step took, in milliseconds."""

    step: str
    times: int
    p50: float
    p95: float


class Figures:
    """Counts what happens."""

    def __init__(self) -> None:
        self.ended: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        """Of the sales that did not go as promised."""
        self.unreachable: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        """Codes by which a payment gateway refused sales that it should have taken."""
        self._seconds: dict[str, list[float]] = {}

    def note_step(self, step: Step) -> None:
        """Count an exchange."""
        self._seconds.setdefault(step.name, []).append(step.exchange.seconds)

    def note_outcome(self, outcome: Outcome) -> None:
        """Count a sale."""
        self.ended[outcome.ended] += 1
        if not outcome.is_as_promised:
            self.faults[outcome.fault] += 1
            self.refusals[outcome.refusal] += bool(outcome.refusal)
        if outcome.unreachable:
            self.unreachable[outcome.unreachable] += 1
        self._seconds.setdefault(_WHOLE_SALE, []).append(outcome.seconds)

    def durations(self) -> list[Durations]:
        """Return how long what took, in the order of the steps."""
        steps = [name for name in self._seconds if name != _WHOLE_SALE] + [_WHOLE_SALE]
        return [_durations_of(name, sorted(self._seconds.get(name, []))) for name in steps]


def _durations_of(name: str, seconds: Sequence[float]) -> Durations:
    return Durations(name, len(seconds), _percentile(seconds, 0.5), _percentile(seconds, 0.95))


def _percentile(ordered: Sequence[float], share: float) -> float:
    """Return the nearest rank in milliseconds; 0 if there is nothing."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] * 1000
