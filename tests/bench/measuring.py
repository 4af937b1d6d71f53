"""One run of a contender: started fresh, warmed up, loaded as far as it goes, then loaded by half of that."""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench.contenders import Contender
from tests.bench.ground import Ground
from tests.bench.load import Load, Voided, run_pairs
from tests.bench.processes import cpu_seconds, families

WARM_UP_SECONDS = 2
_RPC_CLIENT = "tests.bench.rpc_client"


@dataclass(frozen=True)
class HttpRun:
    """What one run over HTTP gave."""

    peak: Load
    half: Load
    """Under half of the contender's peak, the median of its runs so far."""
    half_rate: float
    """How many requests a second that was; what was answered can be less."""
    server_cpu_seconds: float
    """What all processes of the server used at the peak."""
    resident_bytes: dict[str, list[int]]
    """Memory of each process of the server at the end, by the program's name; what they share counts in each."""

    @property
    def server_cpu_us(self) -> float:
        """Microseconds of a core for each request."""
        return self.server_cpu_seconds / self.peak.requests * 1e6

    @property
    def server_cores(self) -> float:
        """How many cores the server used at the peak."""
        return self.server_cpu_seconds / self.peak.seconds

    @property
    def client_cores(self) -> float:
        """How many cores the load generator used at the peak."""
        return self.peak.client_cpu_seconds / self.peak.seconds

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class RpcRun:
    """What one run over gRPC gave."""

    calls: int
    seconds: float
    server_cpu_seconds: float
    client_cpu_seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def calls_per_second(self) -> float:
        return self.calls / self.seconds

    @property
    def server_cpu_us(self) -> float:
        """Microseconds of a core for each call."""
        return self.server_cpu_seconds / self.calls * 1e6

    @property
    def client_cpu_us(self) -> float:
        """The same of the client."""
        return self.client_cpu_seconds / self.calls * 1e6

    @property
    def cpu_us(self) -> float:
        """The same of both."""
        return self.server_cpu_us + self.client_cpu_us

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def run_over_http(
    contender: Contender, ground: Ground, earlier: Sequence[HttpRun], *, seconds: int, seed: int
) -> HttpRun:
    """Run a contender once.

    Args:
        contender: which one.
        ground: what it stands on.
        earlier: its runs before this one.
        seconds: of each of the two measurements.
        seed: makes the values differ from those of other runs.

    Raises:
        Voided: an answer was not a success.
    """

    def load(seconds: int, part: int, rate: float | None = None) -> Load:
        seed_of_part = 10 * seed + part
        try:
            return run_pairs(
                served.address, ground.tokens, seconds=seconds, seed=seed_of_part, rate=rate, echo=contender.empty
            )
        except Voided as error:
            raise Voided(f"{contender.name}: {error}") from None

    with (
        tempfile.TemporaryDirectory(prefix="bench-run-") as folder,
        contender.start(ground, Path(folder)) as served,
    ):
        load(min(seconds, WARM_UP_SECONDS), 0)
        before = cpu_seconds(served.pids)
        peak = load(seconds, 1)
        used = cpu_seconds(served.pids) - before
        rate = statistics.median([run.peak.requests_per_second for run in earlier] + [peak.requests_per_second]) / 2
        half = load(seconds, 2, rate)
        resident: dict[str, list[int]] = {}
        for process in families(served.pids):
            resident.setdefault(process.name, []).append(process.resident_bytes)
    return HttpRun(peak, half, rate, used, resident)


def run_over_grpc(contender: Contender, ground: Ground, *, seconds: int) -> RpcRun:
    """Run a contender once.

    Raises:
        Voided: a call failed.
    """
    with (
        tempfile.TemporaryDirectory(prefix="bench-run-") as folder,
        contender.start(ground, Path(folder)) as served,
    ):
        command = [sys.executable, "-m", _RPC_CLIENT, served.address, str(ground.tokens)]
        kind = [*(["--empty"] if contender.empty else []), *(["--over-stream"] if contender.over_stream else [])]

        def load(seconds: int) -> dict[str, Any]:
            ended = subprocess.run([*command, str(seconds), *kind], capture_output=True, text=True, check=False)
            if ended.returncode != 0:
                raise Voided(f"{contender.name}: {ended.stderr[-2000:]}")
            told: dict[str, Any] = json.loads(ended.stdout)
            return told

        load(min(seconds, WARM_UP_SECONDS))
        before = cpu_seconds(served.pids)
        told = load(seconds)
        used = cpu_seconds(served.pids) - before
    return RpcRun(server_cpu_seconds=used, **told)
