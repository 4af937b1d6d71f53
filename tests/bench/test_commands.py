"""The commands beside `make bench`, in a short form."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.json_codec import Findings
from tests.bench import flames, micro, soak
from tests.bench.contenders import ONE_PROCESS
from tests.bench.load import wrk_is_missing
from tests.bench.processes import Process
from tests.bench.start import measure_starts

needs_wrk = pytest.mark.skipif(wrk_is_missing(), reason="wrk is not installed")


def may_trace() -> bool:
    """Tell whether a process may look into one that it did not start."""
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    return os.geteuid() == 0 or not scope.exists() or scope.read_text().strip() == "0"


def test_a_start_is_measured_beside_imports() -> None:
    starts = measure_starts(1)
    assert len(starts.first_answers) == len(starts.imports) == 1
    assert f"Ratio: {starts.ratio:.2f}." in starts.table()


@needs_wrk
def test_what_the_server_uses_is_sampled_until_so_many_requests_were_answered_and_so_much_time_has_passed() -> None:
    first, *later = soak.soak(2, seconds=1, minutes=0.01, share=0.7, tokens=9)
    assert first.requests == 0
    assert later[-1].requests >= 2
    assert later[-1].seconds >= 0.6
    for sample in (first, *later):
        assert sample.descriptors > 3
        assert sample.log_bytes > 0
        (process,) = sample.processes
        assert process.name == "sale-service"
        assert process.resident_bytes > 2**20


def test_growth_is_that_after_the_first_tenth() -> None:
    def sample(requests: int, *resident: int) -> soak.Sample:
        return soak.Sample(requests, [Process(7, 1, "sale-service", 0.0, size) for size in resident])

    samples = [sample(0, 1, 1), sample(100_000, 1000, 100), sample(500_000, 1400, 200), sample(1_000_000, 1900, 325)]
    assert soak.growth(samples) == pytest.approx(125)
    assert soak.growth(samples[:2]) is None
    assert "| 500,000 | 0.0 | 0.0 | 0.0 | 0 | 0.0 |" in soak.table(samples)


def test_hourly_growth_is_that_after_the_first_tenth_of_the_time() -> None:
    samples = [
        soak.Sample(0, [Process(7, 1, "sale-service", 0.0, resident)], seconds)
        for seconds, resident in ((0.0, 1), (60.0, 5000), (360.0, 5100), (600.0, 5180))
    ]
    assert soak.hourly_growth(samples) == pytest.approx(1200)
    assert soak.hourly_growth(samples[:1]) is None
    assert "over 10.0 minutes." in soak.table(samples)


def test_each_part_of_a_request_is_measured() -> None:
    costs = [*micro.costs(rounds=1, seconds=0.001), *micro.costs_of_sqlite(rounds=1, calls=2)]
    assert all(cost.us > 0 for cost in costs)
    table = micro.table(costs)
    for part in ("check: JSON to message", "bounds of initiate", "session_signature", "SQLite: bind_check, 32 at once"):
        assert f"| {part} |" in table


def test_our_codec_and_its_rival_read_and_write_the_same() -> None:
    beside = [(part.call(), part.rival()) for part in micro.parts() if part.rival]
    assert len(beside) == 4
    for ours, rival in beside:
        if isinstance(ours, bytes) and isinstance(rival, bytes):
            assert json.loads(ours) == json.loads(rival)
        else:
            assert ours == (rival, Findings())


@needs_wrk
@pytest.mark.skipif(not may_trace(), reason="the system lets nobody trace another's process")
def test_a_flame_graph_is_written(tmp_path: Path) -> None:
    (path,) = flames.record(ONE_PROCESS, tmp_path, seconds=1, tokens=9)
    assert path == tmp_path / "flames-one-process-sale-service.svg"
    assert "<svg" in path.read_text()


@pytest.mark.parametrize("command", ["soak", "start", "micro", "flames"])
def test_a_command_tells_of_its_options(command: str) -> None:
    told = subprocess.run(
        [sys.executable, "-m", f"tests.bench.{command}", "--help"], check=True, capture_output=True, text=True
    )
    assert told.stdout.startswith(f"usage: python -m tests.bench.{command} ")
