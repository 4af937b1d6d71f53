"""Metrics and traces of a program, each where it is configured; where it is not, nothing of it is imported."""

from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import grpc
from starlette.types import ASGIApp

from gateway.http_limits import Load
from gateway.program.file_checks import certificate_ends
from gateway.program.metrics_port import MetricsPlace, MetricsPort
from gateway.program.settings import ConfigurationError, ProgramSettings
from gateway.request_record import RequestRecord

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from gateway.program.metrics import Metrics
    from gateway.program.tracing import Tracing


class Telemetry:
    """What a process tells of itself.

    Args:
        settings: of the program.
        place: where its metrics are; None if they are not served.
        program: its name.

    Raises:
        ConfigurationError: a certificate can't be used.
    """

    def __init__(self, settings: ProgramSettings, place: MetricsPlace | None, program: str) -> None:
        self._tracing = _open_tracing(settings, program)
        self.tracer: Tracer | None = None if self._tracing is None else self._tracing.tracer()
        """Begins spans; None where there are no traces."""
        self.metrics = None if place is None else _open_metrics(place)
        """None where they are not served."""
        self._port: MetricsPort | None = None
        if place is not None and self.metrics is not None:
            self._port = MetricsPort(settings, place.socket, self.metrics.text)

    async def start(self) -> None:
        """Let metrics be read.

        Raises:
            ConfigurationError: their port can't be listened on.
        """
        if self.metrics is not None and self._port is not None:
            self.metrics.start()
            await self._port.start()

    async def stop(self) -> None:
        """Stop that, and send the last spans."""
        if self.metrics is not None and self._port is not None:
            self.metrics.stop()
            await self._port.stop()
        if self._tracing is not None:
            await self._tracing.close()

    def observe(self, load: Load) -> Callable[[RequestRecord, float], None] | None:
        """Return what is to be told of each request, if anything is; see `gateway.request_log.RequestLog`.

        Args:
            load: of the HTTP ports.
        """
        if self.metrics is None:
            return None
        from gateway.metrics import HttpMetrics  # noqa: PLC0415

        http = HttpMetrics(self.metrics.meters, self.metrics.registry, load)
        self.metrics.on_sample(http.sample)
        return http.observe

    def around_app(self, app: ASGIApp) -> ASGIApp:
        """Return an application whose requests are in traces, if there are some."""
        if self.tracer is None:
            return app
        from gateway.tracing import TracedApp  # noqa: PLC0415

        return TracedApp(app, self.tracer)

    def around_channel(self, channel: grpc.aio.Channel) -> grpc.aio.Channel:
        """Return a channel whose calls are in traces, if there are some."""
        if self.tracer is None:
            return channel
        from gateway.tracing import traced_channel  # noqa: PLC0415

        return traced_channel(channel, self.tracer)

    def read_again(self) -> None:
        """Read the certificate of the metrics' port again.

        Raises:
            ConfigurationError: it can't be used; then it stays as it is.
        """
        if self._port is not None:
            self._port.read_again()

    def note_certificates(self, settings: ProgramSettings, unused: Collection[str] = ()) -> None:
        """Tell when the certificates end that were just read.

        Args:
            settings: that name them.
            unused: tables that the program has no use for.
        """
        if self.metrics is not None:
            self.metrics.note_certificates(dict(certificate_ends(settings, unused)))


def _open_metrics(place: MetricsPlace) -> "Metrics":
    from gateway.program.metrics import Metrics  # noqa: PLC0415

    return Metrics(place.folder)


def _open_tracing(settings: ProgramSettings, program: str) -> "Tracing | None":
    endpoint = settings.tracing.traces_url
    if endpoint is None:
        return None
    from gateway.program.tracing import Tracing  # noqa: PLC0415

    return Tracing(settings.tracing, endpoint, program)


def require_tracing(settings: ProgramSettings) -> None:
    """Make sure that what traces need is installed, if there are some.

    Args:
        settings: of the program.

    Raises:
        ConfigurationError: it is not.
    """
    if settings.tracing.traces_url is None:
        return
    try:
        import_module("gateway.program.tracing")
    except ImportError:
        raise ConfigurationError(
            "tracing.otlp_endpoint: needs the packages of the extra otel: pip install '.[otel]'"
        ) from None


def known_of_trace(settings: ProgramSettings) -> Callable[[], Mapping[str, Any]]:
    """Return what tells the log which trace a line belongs to.

    Args:
        settings: of the program.
    """
    if settings.tracing.traces_url is None:
        return dict
    from gateway.tracing import ids_of_trace  # noqa: PLC0415

    return ids_of_trace
