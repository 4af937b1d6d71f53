"""The server and its rivals, measured side by side: `make bench`, or `python -m tests.bench`.

Each round runs every contender once, started fresh on a fresh store, and begins with another one than the round before.
Prints tables in Markdown; writes them, a plot and all that was measured into a folder. Needs wrk.
"""

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.bench.contenders import OVER_GRPC, OVER_HTTP, Contender
from tests.bench.ground import Ground
from tests.bench.load import Voided, wrk_is_missing
from tests.bench.measuring import run_over_grpc, run_over_http
from tests.bench.plot import plot
from tests.bench.report import report
from tests.bench.results import Results
from tests.bench.surroundings import surroundings

NAMES = tuple(contender.name for contender in (*OVER_HTTP, *OVER_GRPC))


def measure(names: list[str], *, rounds: int, seconds: int) -> Results:
    """Run the contenders of these names, and tell on standard error how far it is.

    Raises:
        Voided: an answer of one of them was not a success.
    """
    http = [contender for contender in OVER_HTTP if contender.name in names]
    grpc = [contender for contender in OVER_GRPC if contender.name in names]
    results = Results({contender.name: [] for contender in http}, {contender.name: [] for contender in grpc})
    with ExitStack() as stack:
        ground = Ground(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))), stack)
        for round_ in range(rounds):
            for contender in _rotated(http, round_):
                runs = results.http[contender.name]
                runs.append(run_over_http(contender, ground, runs, seconds=seconds, seed=round_ + 1))
                _tell(round_, contender, f"{runs[-1].peak.requests_per_second:,.0f} requests/s")
            for contender in _rotated(grpc, round_):
                calls = results.grpc[contender.name]
                calls.append(run_over_grpc(contender, ground, seconds=seconds))
                _tell(round_, contender, f"{calls[-1].calls_per_second:,.0f} calls/s")
    return results


def _rotated(contenders: list[Contender], by: int) -> list[Contender]:
    start = by % len(contenders) if contenders else 0
    return contenders[start:] + contenders[:start]


def _tell(round_: int, contender: Contender, text: str) -> None:
    print(f"round {round_ + 1}: {contender.name}: {text}", file=sys.stderr, flush=True)


def write(results: Results, told: str, given: dict[str, str], folder: Path) -> None:
    """Write everything into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps({"surroundings": given, **results.to_json()}, indent=1))
    (folder / "report.md").write_text(told)
    if results.http:
        (folder / "plot.svg").write_text(plot(results))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=6, help="of each measurement")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES), metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--output", type=Path, default=Path("var/bench"), metavar="DIR")
    arguments = parser.parse_args()
    if wrk_is_missing():
        parser.error("wrk is needed: apt-get install wrk")
    given = surroundings(sys.argv[1:])
    try:
        results = measure(arguments.only, rounds=arguments.rounds, seconds=arguments.seconds)
    except Voided as error:
        raise SystemExit(f"void: {error}") from None
    told = report(results) + "\n" + "; ".join(f"{name} {value}" for name, value in given.items()) + "\n"
    write(results, told, given, arguments.output)
    print(told)


if __name__ == "__main__":
    main()
