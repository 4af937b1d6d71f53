"""What all runs gave, and what is reckoned from it."""

import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.bench.contenders import ONE_PROCESS, TWO_WORKERS
from tests.bench.measuring import HttpRun, RpcRun

CORES = len(os.sched_getaffinity(0))
RunT = TypeVar("RunT", HttpRun, RpcRun)


@dataclass
class Results:
    """The runs of each contender, in the order of the rounds."""

    http: dict[str, list[HttpRun]] = field(default_factory=dict)
    grpc: dict[str, list[RpcRun]] = field(default_factory=dict)

    def peak(self, name: str) -> float:
        """Return a contender's requests per second, the median of its runs."""
        return median(self.http[name], lambda run: run.peak.requests_per_second)

    def ratio(self, name: str, other: str) -> float | None:
        """Return how many times the throughput of another a contender has; None where one of them did not run."""
        if not (self.http.get(name) and self.http.get(other)):
            return None
        return self.peak(name) / self.peak(other)

    def two_workers_ratio(self) -> float | None:
        """Return how many times the throughput of one process two workers would have if nothing shared their cores.

        One process needs one core, and the load generator finds another; two workers need both, and what the load
        generator uses of them they can't use. So the requests of their run are reckoned up to the cores that there are:
        times cores / (cores - cores that wrk used). That is right where they used all that wrk left them; where they
        did not, it is too much: the report tells what they used.
        """
        if not (self.http.get(TWO_WORKERS) and self.http.get(ONE_PROCESS)):
            return None
        alone = median(
            self.http[TWO_WORKERS], lambda run: run.peak.requests_per_second * CORES / (CORES - run.client_cores)
        )
        return alone / self.peak(ONE_PROCESS)

    def to_json(self) -> dict[str, Any]:
        return {
            "http": {name: [run.to_json() for run in runs] for name, runs in self.http.items()},
            "grpc": {name: [run.to_json() for run in runs] for name, runs in self.grpc.items()},
        }


def median(runs: Sequence[RunT], figure: Callable[[RunT], float]) -> float:
    """Return the median of a figure of the runs."""
    return statistics.median(figure(run) for run in runs)
