"""Metrics and traces of the service, each where it is configured; where it is not, nothing of it is imported."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gateway.program.metrics_port import MetricsPlace
from gateway.program.telemetry import Telemetry, known_of_trace
from service.call_log import known_of_call
from service.endpoints import Endpoints
from service.program.checks import unused_tables
from service.program.domain import Domain
from service.program.settings import ServiceSettings
from service.rpc.interceptors import Interceptor
from service.rpc.server import SaleServer
from service.store import Store

if TYPE_CHECKING:
    from gateway.program.metrics import Metrics
    from service.program.metrics import ServiceMetrics


class Observation:
    """What a process of the service tells of itself.

    Args:
        settings: of the program.
        place: where its metrics are; None if they are not served.

    Raises:
        ConfigurationError: as of `Telemetry`.
    """

    def __init__(self, settings: ServiceSettings, place: MetricsPlace | None) -> None:
        self.telemetry = Telemetry(settings, place, "sale-service")
        """That of the process and its HTTP ports."""
        self._engine = settings.store.engine
        self._metrics = None
        if self.telemetry.metrics is not None:
            self.telemetry.metrics.note_build(self._engine)
            self._metrics = _metrics_of(self.telemetry.metrics)

    def around_store(self, store: Store, endpoints: Endpoints) -> Store:
        """Return a store of which is told what is configured.

        Args:
            store: what is told of.
            endpoints: among which those of its sales are.
        """
        if self._metrics is not None:
            store = self._metrics.around_store(store, endpoints)
        if self.telemetry.tracer is not None:
            from service.store.tracing import traced_store  # noqa: PLC0415

            store = traced_store(store, self.telemetry.tracer, self._engine)
        return store

    def observers(self) -> Sequence[Interceptor]:
        """Return what is to be around every rpc."""
        observers: list[Interceptor] = []
        if self.telemetry.tracer is not None:
            from service.rpc.tracing import TracedCalls  # noqa: PLC0415

            observers.append(TracedCalls(self.telemetry.tracer))
        if self._metrics is not None:
            observers.append(self._metrics.rpcs)
        return observers

    def watch(self, domain: Domain, server: SaleServer) -> None:
        """Look at the parts of the service from now on.

        Args:
            domain: its domain.
            server: its rpcs.
        """
        if self._metrics is not None:
            self._metrics.watch(domain, server)

    def note_settings(self, settings: ServiceSettings, *, serves_http: bool) -> None:
        """Take over what of the settings is told.

        Args:
            settings: as they were read last.
            serves_http: whether the JSON gateway is in the same process.
        """
        self.telemetry.note_certificates(settings, unused_tables(serves_http=serves_http))
        if self._metrics is not None:
            self._metrics.expect(settings)

    def note_housekeeping(self, counts: Mapping[str, int] | None) -> None:
        """Count a run.

        Args:
            counts: what it has done; None if it failed.
        """
        if self._metrics is not None:
            self._metrics.note_housekeeping(counts)


def _metrics_of(metrics: "Metrics") -> "ServiceMetrics":
    from service.program.metrics import ServiceMetrics  # noqa: PLC0415

    return ServiceMetrics(metrics)


def known_of_call_and_trace(settings: ServiceSettings) -> Callable[[], Mapping[str, Any]]:
    """Return what tells the log of which call a line is, and of which trace.

    Args:
        settings: of the program.
    """
    of_trace = known_of_trace(settings)
    return known_of_call if settings.tracing.traces_url is None else lambda: {**of_trace(), **known_of_call()}
