"""Load over HTTP: wrk, with pairs of requests (initiate, check) that are all different."""

import json
import os
import resource
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CONNECTIONS = 64
"""The kernel deals them to workers by chance: of fewer, one worker gets many more than the other."""
PAIRS = Path(__file__).with_name("pairs.lua")


class Voided(Exception):
    """A run does not count: an answer was no success, or a connection failed."""


@dataclass(frozen=True)
class Latency:
    """How long requests took, in milliseconds, as wrk tells it.

    That includes what its one thread waited for a core. Where an answer took longer than a connection takes for two on
    average, wrk adds the requests that it would have sent meanwhile, with the times that they would have had to wait.
    """

    p50: float
    p90: float
    p99: float
    max: float


@dataclass(frozen=True)
class Load:
    """What a run of wrk has seen."""

    requests: int
    seconds: float
    initiates: int
    checks: int
    latency_ms: Latency
    client_cpu_seconds: float
    """What wrk itself used of the cores."""

    @property
    def requests_per_second(self) -> float:
        return self.requests / self.seconds

    @property
    def pairs_per_second(self) -> float:
        return min(self.initiates, self.checks) / self.seconds

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def wrk_is_missing() -> bool:
    return shutil.which("wrk") is None


def run_pairs(
    address: str, tokens: Path, *, seconds: int, seed: int, rate: float | None = None, echo: bool = False
) -> Load:
    """Run pairs of requests.

    Args:
        address: host and port of a server.
        tokens: a file with access tokens, one a line.
        seconds: how long.
        seed: makes the values differ from those of other runs.
        rate: how many requests to send in a second; None for as many as are answered.
        echo: whether the server only echoes.

    Raises:
        Voided: an answer was not a success.
    """
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(PAIRS), f"http://{address}"]
    environment = {**os.environ, "TOKENS": str(tokens), "SEED": str(seed)}
    environment |= ({} if rate is None else {"RATE": str(rate)}) | ({"ECHO": "1"} if echo else {})
    before = _children_cpu_seconds()
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    used = _children_cpu_seconds() - before
    *_, last = ended.stdout.splitlines() or [""]
    if ended.returncode != 0 or not last.startswith("{"):
        raise Voided(f"wrk ended with {ended.returncode}: {ended.stdout}{ended.stderr}")
    return _read(json.loads(last), used, told=ended.stderr)


def pairs_per_second(address: str, tokens: Path, seconds: int, seed: int) -> float:
    """Run pairs of requests, and return how many were answered in a second.

    Raises:
        Voided: an answer was not a success.
    """
    return run_pairs(address, tokens, seconds=seconds, seed=seed).pairs_per_second


def _read(summary: dict[str, Any], client_cpu_seconds: float, *, told: str) -> Load:
    answers, faults = summary.pop("answers"), summary.pop("faults")
    if told or set(answers) != {"200"} or any(faults.values()):
        raise Voided(f"answers: {answers}; faults of connections: {faults}; {told}")
    latency = Latency(**summary.pop("latency_ms"))
    return Load(**summary, latency_ms=latency, client_cpu_seconds=client_cpu_seconds)


def _children_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
