"""A span of each call of the store within a trace. Imported only where traces are sent."""

from typing import Any

from opentelemetry.trace import SpanKind, StatusCode, Tracer, get_current_span

from service.errors import SaleError
from service.store import Store
from service.store.proxy import Method, with_around

_ENDLESS = frozenset({"wait_for_change", "list_changes", "close"})
"""What a reader that watches does as long as it is there."""


def traced_store(store: Store, tracer: Tracer, engine: str) -> Store:
    """Return a store whose calls are spans, where they are made within one.

    Args:
        store: what is called.
        tracer: begins spans.
        engine: of the store, as semantic conventions name it.
    """

    def around(name: str, method: Method) -> Method:
        if name in _ENDLESS:
            return method
        attributes = {"db.system.name": engine, "db.operation.name": name}

        async def traced(*arguments: Any, **named: Any) -> Any:
            if not get_current_span().is_recording():
                return await method(*arguments, **named)
            with tracer.start_as_current_span(
                name,
                kind=SpanKind.CLIENT,
                attributes=attributes,
                record_exception=False,  # its text may be of a row
                set_status_on_exception=False,
            ) as span:
                try:
                    return await method(*arguments, **named)
                except Exception as error:
                    span.set_attribute("error.type", type(error).__name__)
                    if isinstance(error, SaleError):
                        span.set_attribute("sale.error.code", int(error.reason))
                    span.set_status(StatusCode.ERROR)
                    raise

        return traced

    return with_around(store, around)
