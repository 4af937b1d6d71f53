"""Spans of requests, and of the calls of the service that they lead to. Imported only where traces are sent.

Names and attributes are those of OpenTelemetry's semantic conventions; what is ours begins with `sale.`. No span has
anything in it that a log line may not have.
"""

from collections.abc import Generator, Mapping
from typing import Any, cast

import grpc
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.health import Alive, Ready
from gateway.request_record import RequestRecord

_W3C = TraceContextTextMapPropagator()
_HEADERS = frozenset({b"traceparent"})
"""Not `tracestate`: whoever is outside could have kilobytes of it sent on with every span."""
_PROBES = frozenset({Alive.path, Ready.path})
_ATTRIBUTES = {
    "http.route": "route",
    "http.response.status_code": "status",
    "sale.error.code": "code",
    "sale.request_id": "request_id",
    "sale.invoice_id": "invoice_id",
    "sale.provider": "provider",
}
"""Of a request's span, and what of its record they tell."""


def ids_of_trace() -> Mapping[str, str]:
    """Return what a log line tells of the span that runs; nothing outside of one."""
    context = get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


class TracedApp:
    """An application whose requests are spans, each in the trace that its `traceparent` names.

    Args:
        app: the application; it puts the record of each request into its state.
        tracer: begins spans.
    """

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["path"] in _PROBES:
            await self._app(scope, receive, send)
            return
        carrier = {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in _HEADERS}
        with self._tracer.start_as_current_span(
            scope["method"],
            context=_W3C.extract(carrier, context=Context()),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": scope["method"], "url.scheme": scope["scheme"]},
            record_exception=False,  # its text may be what a client has sent
            set_status_on_exception=False,
        ) as span:
            try:
                await self._app(scope, receive, send)
            finally:
                _describe(span, scope)


def _describe(span: Span, scope: Scope) -> None:
    record: RequestRecord = scope["state"]["record"]
    if not span.is_recording():
        return
    if record.route is not None:
        span.update_name(f"{scope['method']} {record.route}")
    for name, field in _ATTRIBUTES.items():
        if (value := getattr(record, field)) is not None:
            span.set_attribute(name, value)
    if record.status is None or record.status >= 500:
        span.set_status(StatusCode.ERROR)
        span.set_attribute("error.type", str(record.status or "none"))


def traced_channel(channel: grpc.aio.Channel, tracer: Tracer) -> grpc.aio.Channel:
    """Return a channel that tells of each unary call, and sends along in which trace it is made.

    Args:
        channel: over which calls are made.
        tracer: begins spans.
    """
    return cast(grpc.aio.Channel, _TracedChannel(channel, tracer))


class _TracedChannel:
    def __init__(self, channel: grpc.aio.Channel, tracer: Tracer) -> None:
        self._channel = channel
        self._tracer = tracer

    def unary_unary(self, method: str, *arguments: Any, **named: Any) -> Any:
        call = self._channel.unary_unary(method, *arguments, **named)
        return _TracedMultiCallable(call, self._tracer, method)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)


class _TracedMultiCallable:
    def __init__(self, call: Any, tracer: Tracer, method: str) -> None:
        service, _, name = method.removeprefix("/").rpartition("/")
        self._call = call
        self._tracer = tracer
        self._name = method.removeprefix("/")
        self._attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}

    def __call__(self, request: Any, *, metadata: Any = None, **named: Any) -> Any:
        current, carrier = get_current_span(), dict[str, str]()
        if not current.is_recording():
            # Of a trace that is not kept, or of none, as the gateway's own question for a probe.
            _W3C.inject(carrier)
            return self._call(request, metadata=(*(metadata or ()), *carrier.items()), **named)
        span = self._tracer.start_span(self._name, kind=SpanKind.CLIENT, attributes=self._attributes)
        _W3C.inject(carrier, context=set_span_in_context(span))
        try:
            call = self._call(request, metadata=(*(metadata or ()), *carrier.items()), **named)
        except grpc.aio.AioRpcError as error:
            _end(span, error.code())
            raise
        return _TracedCall(call, span)


class _TracedCall:
    def __init__(self, call: Any, span: Span) -> None:
        self._call = call
        self._span = span

    def __await__(self) -> Generator[Any, None, Any]:
        code = grpc.StatusCode.CANCELLED  # unless it ends otherwise
        try:
            response = yield from self._call.__await__()
            code = grpc.StatusCode.OK
            return response
        except grpc.aio.AioRpcError as error:
            code = error.code()
            raise
        finally:
            _end(self._span, code)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


def _end(span: Span, code: grpc.StatusCode) -> None:
    span.set_attribute("rpc.grpc.status_code", code.value[0])
    if code is not grpc.StatusCode.OK:
        span.set_status(StatusCode.ERROR)
        span.set_attribute("error.type", code.name)
    span.end()
