"""Memory over very many requests, and how long a start takes: `python -m tests.bench.soak`.

Pairs of requests (initiate, check) run against one process of the service on SQLite until so many were answered; one
that fails voids everything. Needs wrk; a million requests take some five minutes and a gigabyte of disk.
"""

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from tests.bench.contenders import ONE_PROCESS, OVER_HTTP
from tests.bench.ground import TOKENS, Ground
from tests.bench.load import Voided, run_pairs, wrk_is_missing
from tests.bench.markdown import head, row
from tests.bench.processes import Process, families
from tests.bench.start import STARTS, measure_starts

_MEBIBYTE = 2**20
_PER = 100_000


class Sample(NamedTuple):
    """Memory at one moment."""

    requests: int
    """How many were answered before."""
    processes: Sequence[Process]


def soak(requests: int, *, seconds: int, tokens: int = TOKENS) -> list[Sample]:
    """Run requests against a new server, and return its memory at the beginning and along the way.

    Args:
        requests: how many at least.
        seconds: from one sample to the next.
        tokens: how many access tokens there are.

    Raises:
        Voided: an answer was not a success.
    """
    (contender,) = (contender for contender in OVER_HTTP if contender.name == ONE_PROCESS)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-soak-")))
        ground = Ground(folder, stack, tokens)
        served = stack.enter_context(contender.start(ground, folder))
        samples = [Sample(0, families(served.pids))]
        while (answered := samples[-1].requests) < requests:
            load = run_pairs(served.address, ground.tokens, seconds=seconds, seed=len(samples))
            samples.append(Sample(answered + load.requests, families(served.pids)))
    return samples


def growth(samples: Sequence[Sample]) -> float | None:
    """Return how many bytes 100,000 requests add to all processes together, after the first tenth of all requests.

    It is the slope of a line through the samples; None where there are fewer than two.
    """
    later = [sample for sample in samples if sample.requests >= samples[-1].requests / 10]
    if len(later) < 2:
        return None
    resident = [sum(process.resident_bytes for process in sample.processes) for sample in later]
    return statistics.linear_regression([sample.requests for sample in later], resident).slope * _PER


def table(samples: Sequence[Sample]) -> str:
    """Return the samples, a row each, and the growth."""
    lines = list(head("requests", *(f"{process.name}, MiB resident" for process in samples[0].processes)))
    lines += (row(f"{requests:,}", *map(_mebibytes, processes)) for requests, processes in samples)
    if (slope := growth(samples)) is not None:
        lines += ["", f"Growth after the first tenth: {slope / _MEBIBYTE:+.3f} MiB for {_PER:,} requests."]
    return "\n".join(lines)


def _mebibytes(process: Process) -> str:
    return f"{process.resident_bytes / _MEBIBYTE:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=10, help="from one sample to the next")
    parser.add_argument("--starts", type=int, default=STARTS)
    arguments = parser.parse_args()
    if wrk_is_missing():
        parser.error("wrk is needed: apt-get install wrk")
    print(measure_starts(arguments.starts).table(), end="\n\n", flush=True)
    try:
        print(table(soak(arguments.requests, seconds=arguments.seconds)))
    except Voided as error:
        raise SystemExit(f"void: {error}") from None


if __name__ == "__main__":
    main()
