"""How long a start takes until the first answer: `python -m tests.bench.start`.

Told beside what the three largest libraries take to be imported, for what imports cost differs from machine to machine.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from tests.bench.markdown import head, row
from tests.merchant import write_config
from tests.running import ANY_PORT, PROGRAMS, START_SECONDS, STOP_SECONDS

IMPORTS = "import grpc, starlette, uvicorn"
STARTS = 5
_POLL_SECONDS = 0.002
# Installed programs have the bytecode of what they import beside it; a checkout has it after the first start.
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@dataclass(frozen=True)
class Starts:
    """What was measured, in seconds."""

    first_answers: Sequence[float]
    """From the start of `sale-service serve` on SQLite to the first success of a health check."""
    imports: Sequence[float]
    """Of a Python that imports the libraries and ends."""

    @property
    def ratio(self) -> float:
        return statistics.median(self.first_answers) / statistics.median(self.imports)

    def table(self) -> str:
        lines = [
            *head("", "ms"),
            row("start to first answer", f"{statistics.median(self.first_answers) * 1000:,.0f}"),
            row(f"`python -c '{IMPORTS}'`", f"{statistics.median(self.imports) * 1000:,.0f}"),
            "",
            f"Medians of {len(self.first_answers)}, measured in turn. Ratio: {self.ratio:.2f}.",
        ]
        return "\n".join(lines)


def measure_starts(count: int = STARTS) -> Starts:
    """Start a server and import the libraries in turn, so many times each, after once that does not count."""
    with tempfile.TemporaryDirectory(prefix="bench-start-") as made:
        folder = Path(made)
        write_config(folder / "sale.toml")
        measured = [(_first_answer(folder), _imports()) for _ in range(count + 1)][1:]
    return Starts([first for first, _ in measured], [imports for _, imports in measured])


def _first_answer(folder: Path) -> float:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    options = (f"--http=127.0.0.1:{port}", f"--grpc={ANY_PORT}", f"--store=sqlite:///{folder / 'sale.db'}")
    command = [str(PROGRAMS / "sale-service"), "serve", f"--config={folder / 'sale.toml'}", *options]
    with (folder / "log").open("ab") as log:
        begin = time.perf_counter()
        with subprocess.Popen(command, env=_ENVIRONMENT, stderr=log) as process:
            try:
                while not _is_ready(port):
                    if process.poll() is not None or time.perf_counter() - begin > START_SECONDS:
                        raise RuntimeError(f"no answer: {(folder / 'log').read_text()[-2000:]}")
                    time.sleep(_POLL_SECONDS)
                return time.perf_counter() - begin
            finally:
                process.terminate()
                process.wait(STOP_SECONDS)


def _is_ready(port: int) -> bool:
    with (
        suppress(OSError, HTTPException),
        closing(HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)) as connection,
    ):
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    return False


def _imports() -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORTS], env=_ENVIRONMENT, check=True)
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.start", description=__doc__.partition("\n")[0])
    parser.add_argument("--starts", type=int, default=STARTS)
    print(measure_starts(parser.parse_args().starts).table())


if __name__ == "__main__":
    main()
