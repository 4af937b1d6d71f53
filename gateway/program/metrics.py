"""Metrics of a process, and of several that share a port. Imported only where metrics are served.

Workers write their values into files of a folder of their own, by their places among the workers: one that replaces
another counts on from where that stopped, and no more files come to be than there are workers. Whichever worker is
asked tells the sum.
"""

import asyncio
import platform
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib.metadata import version
from multiprocessing import current_process
from pathlib import Path

import structlog
from google.protobuf import __version__ as protobuf_version
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from gateway.meters import Meters
from gateway.metrics import Totals
from gateway.program.metrics_files import share_values
from gateway.program.options import DISTRIBUTION

_SAMPLE_SECONDS = 1.0
_ADDED_UP = frozenset({"process_virtual_memory_bytes", "process_resident_memory_bytes", "process_open_fds"})
"""Of the workers; of the others of a process the largest counts, as when the last one of them was started."""

_log = structlog.stdlib.get_logger(__name__)


class Metrics:
    """The metrics of a process.

    Args:
        folder: where workers share them; None for a process by itself.
    """

    def __init__(self, folder: str | None) -> None:
        disable_created_metrics()
        self.registry = CollectorRegistry()
        """Takes the metrics."""
        self.meters = Meters(self.registry)
        """What measures where it must cost next to nothing."""
        self._shared = self.registry
        if folder is not None:
            self._shared = _shared_values(Path(folder)) or self.registry
        self._samplers: list[Callable[[], None]] = []
        self._sampling: asyncio.Task[None] | None = None
        self._ends = Gauge(
            "sale_certificate_not_after_timestamp_seconds",
            "When the certificate ends that was read last, by the table of the settings that names it.",
            ["listener"],
            registry=self.registry,
            multiprocess_mode="livemin",
        )
        self.on_sample(_Process(self.registry).sample)

    def on_sample(self, sampler: Callable[[], None]) -> None:
        """Look at something each second.

        Args:
            sampler: looks at it.
        """
        self._samplers.append(sampler)

    def start(self) -> None:
        """Begin to look."""
        self.sample()
        self._sampling = asyncio.create_task(self._sample_again())

    def stop(self) -> None:
        """Look no more."""
        if self._sampling is not None:
            self._sampling.cancel()

    def sample(self) -> None:
        """Look at everything now."""
        for sampler in self._samplers:
            sampler()
        self.meters.hand_on()

    async def text(self) -> bytes:
        """Return all metrics, in Prometheus' text format: of this process as they are now."""
        self.sample()
        return await asyncio.to_thread(generate_latest, self._shared)

    def note_build(self, store: str) -> None:
        """Tell what this is.

        Args:
            store: engine of the store; empty without one.
        """
        build = {
            "version": version(DISTRIBUTION),
            "python": platform.python_version(),
            "grpc": version("grpcio"),
            "protobuf": protobuf_version,
            "store": store,
        }
        Gauge(
            "sale_build_info",
            "1, by the versions of the program and of what it stands on.",
            [*build],
            registry=self.registry,
            multiprocess_mode="livemax",
        ).labels(**build).set(1)

    def note_certificates(self, ends: Mapping[str, datetime]) -> None:
        """Tell when certificates end.

        Args:
            ends: by the tables of the settings that name them.
        """
        for table, end in ends.items():
            self._ends.labels(table).set(end.timestamp())

    async def _sample_again(self) -> None:
        while True:
            await asyncio.sleep(_SAMPLE_SECONDS)
            try:
                self.sample()
            except Exception as error:
                _log.error("metrics not sampled", exc_info=error)  # to look again is better than never again


class _Process:
    """What the system says of this process, by the names that all of Prometheus' libraries have for it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._collector = ProcessCollector(registry=None)
        self._gauges: dict[str, Gauge] = {}
        self._totals: dict[str, Totals] = {}

    def sample(self) -> None:
        for family in self._collector.collect():
            value = family.samples[0].value
            if family.type == "counter":
                if family.name not in self._totals:
                    counter = Counter(family.name, family.documentation, registry=self._registry)
                    self._totals[family.name] = Totals(counter)
                self._totals[family.name].move_to(value)
            else:
                if family.name not in self._gauges:
                    self._gauges[family.name] = Gauge(
                        family.name,
                        family.documentation,
                        registry=self._registry,
                        multiprocess_mode="livesum" if family.name in _ADDED_UP else "livemax",
                    )
                self._gauges[family.name].set(value)


def _shared_values(folder: Path) -> CollectorRegistry | None:
    """Share values with the other workers, and return what tells those of all; None where nobody can share any."""
    try:
        share_values(folder, current_process().name)
    except OSError as error:
        # Sales are worth more than what is told of them: this worker serves, and the others tell of themselves.
        _log.warning("metrics of this worker not shared", fault=error.strerror)
    if not folder.is_dir():
        return None
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))
    return registry
