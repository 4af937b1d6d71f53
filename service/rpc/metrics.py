"""Measures the rpcs, by the names of go-grpc-prometheus: dashboards that there are fit."""

from collections.abc import Iterable
from time import perf_counter
from typing import Any, NamedTuple

import grpc
from connectingparty.sale.v1.error_reason_pb2 import ErrorReason
from connectingparty.sale.v1.sale_service_pb2 import CheckSaleRequest

from service.call_log import known_of_call
from service.meters import Count, Distribution, Meters
from service.rpc.health import HEALTH_METHODS
from service.rpc.interceptors import Behaviour, CallInterceptor, Context, Handler
from service.rpc.status import status_name

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_RPC = ("grpc_type", "grpc_service", "grpc_method")
_WRONG_CONTROL = ("ReceiveCallback", str(ErrorReason.ERROR_REASON_CONTROL_MISMATCH))

_QUESTION = CheckSaleRequest()
"""A gateway that is asked whether it is ready asks so whether it is let in: to be refused for this is a good answer."""


class _Rpc(NamedTuple):
    labels: tuple[str, ...]
    started: Count


class RpcMetrics(CallInterceptor):
    """Counts calls, whichever way they come; the outermost interceptor.

    Args:
        meters: what measures.
    """

    def __init__(self, meters: Meters) -> None:
        self._started = meters.counter("grpc_server_started", "RPCs that were begun on the server.", _RPC)
        self._handled = meters.counter(
            "grpc_server_handled", "RPCs that have ended on the server, whatever came of them.", [*_RPC, "grpc_code"]
        )
        self._seconds = meters.histogram(
            "grpc_server_handling_seconds", "Time that RPCs took on the server.", _SECONDS, _RPC
        )
        self._refusals = meters.counter(
            "sale_refusals",
            "RPCs that were refused, by method, error.code and provider if it was known.",
            ["method", "code", "provider"],
        )
        self._rpcs: dict[str, _Rpc] = {}
        self._ends: dict[tuple[str, Any], tuple[Count, Distribution]] = {}

    def expect(self, providers: Iterable[str]) -> None:
        """Tell zeros of wrong checksums of which there was none yet: the first one has to be seen.

        Args:
            providers: their names.
        """
        for provider in providers:
            self._refusals.labels(*_WRONG_CONTROL, provider)

    def intercept(self, method: str, handler: Handler) -> Handler:
        """Return the handler of an rpc whose calls are counted; health checks would hide what the others are like."""
        if handler.request_streaming or method.startswith(HEALTH_METHODS):
            return handler
        service, _, name = method.removeprefix("/").rpartition("/")
        labels = ("server_stream" if handler.response_streaming else "unary", service or "unknown", name)
        self._rpcs[method] = _Rpc(labels, self._started.labels(*labels))
        return super().intercept(method, handler)

    async def around(self, method: str, request: Any, context: Context, proceed: Behaviour) -> Any:
        """See `CallInterceptor`."""
        rpc, began = self._rpcs[method], perf_counter()
        rpc.started.inc()
        status: Any = grpc.StatusCode.CANCELLED  # unless it ends otherwise
        try:
            response = await proceed(request, context)
            status = grpc.StatusCode.OK
            return response
        except grpc.aio.AbortError:
            status = context.code()
            self._note_refusal(rpc.labels[-1], request)
            raise
        finally:
            if (end := self._ends.get((method, status))) is None:
                handled = self._handled.labels(*rpc.labels, _go_name(status_name(status)))
                end = self._ends[method, status] = (handled, self._seconds.labels(*rpc.labels))
            end[0].inc()
            end[1].observe(perf_counter() - began)

    def _note_refusal(self, name: str, request: Any) -> None:
        known = known_of_call()
        if known.get("code") == ErrorReason.ERROR_REASON_INVALID_FIELD and request == _QUESTION:
            return
        if "code" in known:  # otherwise it was refused before it was looked at, which is counted elsewhere
            self._refusals.labels(name, str(known["code"]), known.get("provider") or "").inc()


def _go_name(name: str) -> str:
    """Return the name of a status code as Go has it, and with it every dashboard of gRPC."""
    return {"OK": "OK", "CANCELLED": "Canceled"}.get(name) or name.title().replace("_", "")
