"""Noting the calls that name a sale, for its timeline."""

import asyncio
import time
from typing import Any

import grpc
from connectingparty.sale.v1.access_pb2 import Role, access
from connectingparty.sale.v1.sale_service_pb2 import DESCRIPTOR

from service.call_log import known_of_call
from service.errors import ErrorReason, SaleError, kind_of
from service.identifiers import may_be_invoice_id
from service.origin import origin_of_call
from service.rpc.interceptors import Context, Handler
from service.sale_events import SaleEvents

_NAMES = ("invoice_id", "client_orderid")
"""The fields that name a sale, in a request or, where that names none, in its answer."""
_SERVICE = DESCRIPTOR.services_by_name["SaleService"]
_NOBODY_WAITED = "Nobody waited for the answer any more."


class SaleCalls:
    """Notes every call of SaleService that names a sale, but those that only read.

    It is put around those of callers who may make them. What is refused is noted, too: then the request names the sale,
    and nothing is kept where there is none with that id.

    Args:
        events: keeps them.
    """

    def __init__(self, events: SaleEvents) -> None:
        self._events = events

    def intercept(self, method: str, handler: Handler) -> Handler:
        """See `service.rpc.interceptors.Interceptor`."""
        service, _, name = method.removeprefix("/").partition("/")
        rpc = _SERVICE.methods_by_name.get(name) if service == _SERVICE.full_name else None
        if rpc is None or rpc.GetOptions().Extensions[access].role == Role.ROLE_READER:
            return handler
        field = next((field.name for field in rpc.input_type.fields if field.name in _NAMES), None)
        return _noted(handler, self._events, f"{_SERVICE.name}.{name}", field)


def _noted(handler: Handler, events: SaleEvents, rpc: str, field: str | None) -> Handler:
    proceed: Any = handler.unary_unary

    def note(begin_ns: int, request: Any, reason: int = 0, message: str | None = None) -> None:
        known = known_of_call()
        if (invoice_id := known.get("invoice_id")) is None:
            invoice_id = getattr(request, field, None) if field else known.get("claimed_invoice_id")
            if invoice_id is None or not may_be_invoice_id(invoice_id):
                return  # what it names can be anything
        events.note(invoice_id, rpc, begin_ns, origin_of_call(), known["request_id"], reason, message)

    # A coroutine of its own, where a `CallInterceptor` has two: this is on the way of every request.
    async def behaviour(request: Any, context: Context) -> Any:
        begin_ns = time.time_ns()
        try:
            response = await proceed(request, context)
        except SaleError as error:
            usual = kind_of(error.reason).message
            note(begin_ns, request, error.reason, None if str(error) == usual else str(error))
            raise
        except asyncio.CancelledError:
            note(begin_ns, request, ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, _NOBODY_WAITED)
            raise
        except Exception:
            note(begin_ns, request, ErrorReason.ERROR_REASON_SERVER_FAILED)
            raise
        note(begin_ns, request)
        return response

    noted: Handler = grpc.unary_unary_rpc_method_handler(
        behaviour,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
    return noted
