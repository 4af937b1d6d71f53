"""Memory over very many requests or a long time, and how long a start takes: `python -m tests.bench.soak`.

Pairs of requests (initiate, check) run against one process of the service on SQLite until so many were answered, or so
much time has passed; one that fails voids everything. Needs wrk; a million requests take some five minutes and a
gigabyte of disk, an hour at 70% of what the server can do ten times that.
"""

import argparse
import statistics
import tempfile
import time
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
_SETTLE_SECONDS = 0.2
"""After which the server has seen that the connections of a run are closed."""


_HOUR = 3600
_WARM_UP = 0.1
"""Part of the requests, or of the time, that no slope is taken from."""


class Sample(NamedTuple):
    """What the server uses at one moment, between two runs of load."""

    requests: int
    """How many were answered before."""
    processes: Sequence[Process]
    seconds: float = 0.0
    """Since the first one."""
    descriptors: int = 0
    """How many files, sockets and the like are open."""
    log_bytes: int = 0
    """Size of SQLite's write-ahead log."""


def soak(
    requests: int, *, seconds: int, minutes: float = 0, share: float | None = None, tokens: int = TOKENS
) -> list[Sample]:
    """Run requests against a new server, and return what it uses at the beginning and along the way.

    Args:
        requests: how many at least.
        seconds: from one sample to the next.
        minutes: how long at least.
        share: how much of what the server can do is asked for; None for all. What it can do is measured before.
        tokens: how many access tokens there are.

    Raises:
        Voided: an answer was not a success.
    """
    (contender,) = (contender for contender in OVER_HTTP if contender.name == ONE_PROCESS)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-soak-")))
        ground = Ground(folder, stack, tokens)
        served = stack.enter_context(contender.start(ground, folder))
        rate = None
        if share is not None:
            rate = share * run_pairs(served.address, ground.tokens, seconds=seconds, seed=0).requests_per_second
        begin = time.monotonic()

        def sample(answered: int) -> Sample:
            processes = families(served.pids)
            log = folder / "sale.db-wal"  # made with the first write
            descriptors = sum(len(list(Path(f"/proc/{process.pid}/fd").iterdir())) for process in processes)
            return Sample(answered, processes, time.monotonic() - begin, descriptors, _size(log))

        samples = [sample(0)]
        while samples[-1].requests < requests or samples[-1].seconds < 60 * minutes:
            load = run_pairs(served.address, ground.tokens, seconds=seconds, seed=len(samples), rate=rate)
            time.sleep(_SETTLE_SECONDS)
            samples.append(sample(samples[-1].requests + load.requests))
    return samples


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def growth(samples: Sequence[Sample]) -> float | None:
    """Return how many bytes 100,000 requests add to all processes together, after the first tenth of all requests.

    It is the slope of a line through the samples; None where there are fewer than two.
    """
    later = [sample for sample in samples if sample.requests >= samples[-1].requests * _WARM_UP]
    return _slope([sample.requests for sample in later], later, _PER)


def hourly_growth(samples: Sequence[Sample]) -> float | None:
    """Return how many bytes an hour adds to all processes together, after the first tenth of the time, likewise."""
    later = [sample for sample in samples if sample.seconds >= samples[-1].seconds * _WARM_UP]
    return _slope([sample.seconds for sample in later], later, _HOUR)


def _slope(moments: Sequence[float], samples: Sequence[Sample], per: float) -> float | None:
    if len(set(moments)) < 2:
        return None
    resident = [sum(process.resident_bytes for process in sample.processes) for sample in samples]
    return statistics.linear_regression(moments, resident).slope * per


def table(samples: Sequence[Sample]) -> str:
    """Return the samples, a row each, and the growth."""
    resident = (f"{process.name}, MiB resident" for process in samples[0].processes)
    lines = list(head("requests", "minutes", *resident, "descriptors", "log, MiB"))
    lines += (
        row(
            f"{sample.requests:,}",
            f"{sample.seconds / 60:.1f}",
            *map(_mebibytes, sample.processes),
            f"{sample.descriptors}",
            f"{sample.log_bytes / _MEBIBYTE:.1f}",
        )
        for sample in samples
    )
    if (slope := growth(samples)) is not None:
        lines += ["", f"Growth after the first tenth: {slope / _MEBIBYTE:+.3f} MiB for {_PER:,} requests."]
    if (slope := hourly_growth(samples)) is not None:
        lines += [f"That is {slope / _MEBIBYTE:+.2f} MiB an hour, over {samples[-1].seconds / 60:.1f} minutes."]
    return "\n".join(lines)


def _mebibytes(process: Process) -> str:
    return f"{process.resident_bytes / _MEBIBYTE:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, help="how many at least; a million if no time is told")
    parser.add_argument("--minutes", type=float, default=0, help="how long at least")
    parser.add_argument("--share", type=float, help="how much of what the server can do is asked for, 0.7 for 70%%")
    parser.add_argument("--seconds", type=int, default=10, help="from one sample to the next")
    parser.add_argument("--starts", type=int, default=STARTS)
    arguments = parser.parse_args()
    if wrk_is_missing():
        parser.error("wrk is needed: apt-get install wrk")
    print(measure_starts(arguments.starts).table(), end="\n\n", flush=True)
    try:
        requests = arguments.requests if arguments.requests is not None else 0 if arguments.minutes else 1_000_000
        samples = soak(requests, seconds=arguments.seconds, minutes=arguments.minutes, share=arguments.share)
        print(table(samples))
    except Voided as error:
        raise SystemExit(f"void: {error}") from None


if __name__ == "__main__":
    main()
