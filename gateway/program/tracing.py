"""Where traces go: to whatever speaks OTLP over HTTP. Imported only where they are sent."""

import asyncio
import logging
from collections.abc import Sequence
from importlib.metadata import version
from threading import Thread

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Tracer

from gateway.program.options import DISTRIBUTION
from gateway.program.settings import TracingSettings

_EXPORT_SECONDS = 5.0
"""How long one batch is tried to be sent; then it is thrown away."""
_FLUSH_SECONDS = 2.0
"""How long the end of the program waits for the last ones."""

_log = structlog.stdlib.get_logger(__name__)


class Tracing:
    """Sends spans in batches, by a thread of its own.

    Args:
        settings: where to.
        endpoint: URL that takes them.
        service_name: what they are from, unless the settings say otherwise.
    """

    def __init__(self, settings: TracingSettings, endpoint: str, service_name: str) -> None:
        # Whoever collects traces can be away for a day: of each batch a line would be too much, and with a traceback.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        resource = Resource.create(
            {"service.name": settings.service_name or service_name, "service.version": version(DISTRIBUTION)}
        )
        sampler = ParentBased(TraceIdRatioBased(settings.sample_ratio))
        self._provider = TracerProvider(resource=resource, sampler=sampler, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=_EXPORT_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(_Telling(exporter)))

    def tracer(self) -> Tracer:
        """Return what begins spans."""
        return self._provider.get_tracer(DISTRIBUTION, version(DISTRIBUTION))

    async def close(self) -> None:
        """Send what has not been sent, if that is possible soon."""
        closing = Thread(target=self._provider.shutdown, name="traces", daemon=True)  # must not keep the program
        closing.start()
        await asyncio.to_thread(closing.join, _FLUSH_SECONDS)


class _Telling(SpanExporter):
    """Tells the log when spans begin to be lost, and when that is over.

    Args:
        exporter: sends them.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._reaches = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        reaches = result is SpanExportResult.SUCCESS
        if reaches != self._reaches:
            self._reaches = reaches
            if reaches:
                _log.info("traces sent again")
            else:
                _log.warning("traces not sent", setting="tracing.otlp_endpoint")
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)
