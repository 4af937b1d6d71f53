"""A span of each rpc, in the trace of whoever calls. Imported only where traces are sent."""

from typing import Any

import grpc
from opentelemetry.context import Context as TraceContext
from opentelemetry.context import attach, detach
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.call_log import known_of_call
from service.rpc.health import HEALTH_METHODS
from service.rpc.interceptors import Behaviour, CallInterceptor, Context, Handler

_W3C = TraceContextTextMapPropagator()
_FAULTS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""Codes that are the server's own errors; by the others it has told the caller's."""
_CODES: dict[Any, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
_ATTRIBUTES = {
    "sale.error.code": "code",
    "sale.request_id": "request_id",
    "sale.invoice_id": "invoice_id",
    "sale.provider": "provider",
}
"""What of a call is told, by its names in the log."""


class TracedCalls(CallInterceptor):
    """Makes a span of each call, whichever way it comes; the outermost interceptor.

    Args:
        tracer: begins spans.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def intercept(self, method: str, handler: Handler) -> Handler:
        """Return the handler of an rpc whose calls are spans; health checks would be nearly all there are."""
        return handler if method.startswith(HEALTH_METHODS) else super().intercept(method, handler)

    async def around(self, method: str, request: Any, context: Context, proceed: Behaviour) -> Any:
        """See `CallInterceptor`."""
        carrier = {key: value for key, value in context.invocation_metadata() or () if key in _W3C.fields}
        parent = _W3C.extract(carrier, context=TraceContext())
        context_of_parent = get_current_span(parent).get_span_context()
        if context_of_parent.is_valid and not context_of_parent.trace_flags.sampled:
            return await _proceed_within(parent, request, context, proceed)  # the caller does not keep this trace
        service, _, name = method.removeprefix("/").rpartition("/")
        with self._tracer.start_as_current_span(
            method.removeprefix("/"),
            context=parent,
            kind=SpanKind.SERVER,
            attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": name},
            record_exception=False,  # its text may be what a caller has sent
            set_status_on_exception=False,
        ) as span:
            code = grpc.StatusCode.CANCELLED  # unless it ends otherwise
            try:
                response = await proceed(request, context)
                code = grpc.StatusCode.OK
                return response
            except grpc.aio.AbortError:
                aborted: Any = context.code()  # grpc.aio gives the number, not the enum
                code = _CODES.get(aborted, aborted)
                raise
            finally:
                _describe(span, code)


async def _proceed_within(trace: TraceContext, request: Any, context: Context, proceed: Behaviour) -> Any:
    token = attach(trace)
    try:
        return await proceed(request, context)
    finally:
        detach(token)


def _describe(span: Span, code: grpc.StatusCode) -> None:
    if not span.is_recording():
        return
    span.set_attribute("rpc.grpc.status_code", code.value[0])
    known = known_of_call()
    for name, field in _ATTRIBUTES.items():
        if (value := known.get(field)) is not None:
            span.set_attribute(name, value)
    if code in _FAULTS:
        span.set_status(StatusCode.ERROR)
        span.set_attribute("error.type", code.name)
