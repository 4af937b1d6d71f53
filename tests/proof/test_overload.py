"""A server with ten times the load that it can carry serves as much as at its best, and refuses the rest at once."""

import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.merchant import write_config
from tests.proof.load import run_load
from tests.running import Program, running, service_arguments

CONNECTIONS = 64
"""With which it is at its best."""
TIMES = 10


class Health:
    """Asks for the health of a server while the block runs."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._ended = threading.Event()
        self._asking = threading.Thread(target=self._ask)
        self.alive: list[int] = []
        self.ready: list[int] = []

    def __enter__(self) -> "Health":
        self._asking.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._asking.join()

    def _ask(self) -> None:
        with self._program.client() as client:
            while not self._ended.wait(0.1):
                self.alive.append(client.get("/healthz").status_code)
                self.ready.append(client.get("/readyz").status_code)


def resident_bytes(program: Program) -> int:
    lines = Path(f"/proc/{program.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


@pytest.mark.parametrize(
    ("seconds", "rounds", "at_least", "refused_within_ms", "grown_at_most"),
    [(1.5, 1, 0.2, 1000, 1.2), pytest.param(30.0, 5, 0.9, 100, 1.05, marks=pytest.mark.long)],
    ids=["short", "long"],
)
def test_ten_times_the_load_is_served_as_well_as_can_be_and_the_rest_is_refused_at_once(
    tmp_path: Path, seconds: float, rounds: int, at_least: float, refused_within_ms: float, grown_at_most: float
) -> None:
    config = write_config(tmp_path / "sale.toml", '[access_tokens]\nttl = "1d"\n')
    with running(service_arguments(config, f"sqlite:///{tmp_path}/sale.db"), tmp_path / "log") as program:
        with program.client() as client:
            token = client.get("/auth/request-access-token").json()["session"]["accessToken"]
        address = str(program.http)
        run_load(address, token, TIMES * CONNECTIONS, seconds)  # until everything has been needed once
        resident = resident_bytes(program)
        peaks: list[dict[str, Any]] = []
        overloads: list[dict[str, Any]] = []
        with Health(program) as health:
            for _ in range(rounds):
                peaks.append(run_load(address, token, CONNECTIONS, seconds))
                overloads.append(run_load(address, token, TIMES * CONNECTIONS, seconds))
        grown = resident_bytes(program) / resident
        peak = median(each["served"]["per_second"] for each in peaks)
        served = median(each["served"]["per_second"] for each in overloads)
        print(f"\npeak {peak:.0f}/s, at {TIMES} times the connections {served:.0f}/s, memory {grown:.3f}")
        for each in (*peaks, *overloads):
            print(each)
        time.sleep(1.2)
        told = [event for event in program.events() if event["event"] == "requests refused"]

    assert served >= at_least * peak
    assert all(each["refused"]["per_second"] > 0 and not each["lost"] for each in overloads)
    assert median(each["refused"]["p50_ms"] for each in overloads) <= refused_within_ms
    assert grown <= grown_at_most
    assert set(health.alive) == set(health.ready) == {200}
    assert sum(event["in_flight"] for event in told if "in_flight" in event) > 0
