"""Where a server under load spends its time, as flame graphs: `python -m tests.bench.flames`.

Writes one SVG for each process of Python that a contender has; workers are in that of their supervisor. Needs wrk, and
the right to trace processes.
"""

import argparse
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.bench.contenders import ONE_PROCESS, OVER_HTTP
from tests.bench.ground import TOKENS, Ground
from tests.bench.load import Voided, run_pairs, wrk_is_missing
from tests.bench.measuring import WARM_UP_SECONDS
from tests.bench.processes import Process, families
from tests.running import PROGRAMS

NAMES = tuple(contender.name for contender in OVER_HTTP)
_SAMPLES_PER_SECOND = 200
_PYTHON_PROGRAMS = ("sale-service", "sale-gateway", "python")


class NotTraced(Exception):
    """py-spy wrote no flame graph; the message is its own."""


def record(name: str, output: Path, *, seconds: int, tokens: int = TOKENS) -> list[Path]:
    """Run a contender under load, and write its flame graphs into a folder.

    Args:
        name: of the contender.
        output: the folder.
        seconds: how long to look.
        tokens: how many access tokens there are.

    Returns:
        The files.

    Raises:
        NotTraced: there is none of a process.
        Voided: an answer was not a success.
    """
    (contender,) = (contender for contender in OVER_HTTP if contender.name == name)
    output.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-flames-")))
        ground = Ground(folder, stack, tokens)
        served = stack.enter_context(contender.start(ground, folder))

        def load(seconds: int, seed: int) -> None:
            run_pairs(served.address, ground.tokens, seconds=seconds, seed=seed, echo=contender.empty)

        load(min(seconds, WARM_UP_SECONDS), 1)
        chosen = [process for process in families(served.pids) if process.pid in served.pids and _is_python(process)]
        spies = [_spy(process, output / f"{_file_name(name, process)}.svg", seconds) for process in chosen]
        load(seconds + 1, 2)  # py-spy takes a moment to begin
        return [_written(*spy) for spy in spies]


def _is_python(process: Process) -> bool:
    return process.name.startswith(_PYTHON_PROGRAMS)


def _file_name(contender: str, process: Process) -> str:
    words = "".join(sign if sign.isalnum() else " " for sign in f"flames {contender} {process.name}".lower()).split()
    return "-".join(words)


def _spy(process: Process, graph: Path, seconds: int) -> tuple["subprocess.Popen[str]", Path]:
    graph.unlink(missing_ok=True)
    options: Sequence[str] = (
        f"--pid={process.pid}",
        f"--output={graph}",
        f"--duration={seconds}",
        f"--rate={_SAMPLES_PER_SECOND}",
        "--subprocesses",
    )
    spy = subprocess.Popen(
        [str(PROGRAMS / "py-spy"), "record", *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return spy, graph


def _written(spy: "subprocess.Popen[str]", graph: Path) -> Path:
    told, _ = spy.communicate()
    if not graph.exists():
        raise NotTraced(told.strip())
    return graph


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.flames", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=NAMES, default=ONE_PROCESS, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--output", type=Path, default=Path("var/bench"), metavar="DIR")
    arguments = parser.parse_args()
    if wrk_is_missing():
        parser.error("wrk is needed: apt-get install wrk")
    try:
        for path in record(arguments.only, arguments.output, seconds=arguments.seconds):
            print(path)
    except (NotTraced, Voided) as error:
        raise SystemExit(f"void: {error}") from None


if __name__ == "__main__":
    main()
