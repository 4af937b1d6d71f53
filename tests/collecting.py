"""Something that traces are sent to: a receiver of OTLP over HTTP."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage


class Span(NamedTuple):
    """A span as it came."""

    service: str
    """The `service.name` of where it is from."""
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    """Empty for the first one of a trace."""
    is_error: bool
    attributes: dict[str, Any]
    message: SpanMessage


class Collector:
    """Receives spans."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """What `tracing.otlp_endpoint` is set to."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, request: ExportTraceServiceRequest) -> None:
        """Keep the spans of a request."""
        for of_resource in request.resource_spans:
            service = {each.key: each.value.string_value for each in of_resource.resource.attributes}["service.name"]
            for of_scope in of_resource.scope_spans:
                self.spans += [_span(service, message) for message in of_scope.spans]

    def trace(self, trace_id: str) -> list[Span]:
        """Return the spans of a trace."""
        return [span for span in self.spans if span.trace_id == trace_id]

    def wait_for(self, trace_id: str, names: set[str], seconds: float = 15.0) -> list[Span]:
        """Return the spans of a trace once all of these names are among them."""
        deadline = time.monotonic() + seconds
        while not names <= {span.name for span in self.trace(trace_id)}:
            assert time.monotonic() < deadline, [span.name for span in self.trace(trace_id)]
            time.sleep(0.02)
        return self.trace(trace_id)


@contextmanager
def collector() -> Iterator[Collector]:
    """Run a collector for as long as the block does."""
    running = Collector()
    try:
        yield running
    finally:
        running.close()


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.take(ExportTraceServiceRequest.FromString(body))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    return Handler


def _span(service: str, message: SpanMessage) -> Span:
    attributes = {}
    for attribute in message.attributes:
        kind = attribute.value.WhichOneof("value")
        attributes[attribute.key] = kind and getattr(attribute.value, kind)
    return Span(
        service,
        message.name,
        SpanMessage.SpanKind.Name(message.kind).removeprefix("SPAN_KIND_"),
        message.trace_id.hex(),
        message.span_id.hex(),
        message.parent_span_id.hex(),
        message.status.code == message.status.STATUS_CODE_ERROR,
        attributes,
        message,
    )
