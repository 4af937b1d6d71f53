"""The port from which Prometheus reads."""

import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import NamedTuple

from connectingparty.sale.v1.error_reason_pb2 import ErrorReason
from starlette.types import Receive, Scope, Send

from gateway.client_addresses import TrustedProxies
from gateway.errors import GatewayError
from gateway.http_limits import Load
from gateway.http_messages import request_id_of, send_json
from gateway.http_server import HttpServer
from gateway.program.http_settings import limits_of
from gateway.program.http_tls import HttpTls
from gateway.program.listening import bind, bound_address, not_listening
from gateway.program.settings import ConfigurationError, ProgramSettings
from gateway.program.values import Address
from gateway.request_record import RequestRecord

PATH = "/metrics"
_CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_CONNECTIONS = 16
"""At once: two Prometheus servers and somebody who looks need fewer."""
_GRACE_SECONDS = 1.0


class MetricsPlace(NamedTuple):
    """Where the metrics of a program are; all workers have the same."""

    socket: socket.socket
    """Bound, and does not listen yet."""
    folder: str | None
    """Where workers put their values; None where there is one process."""


def addresses_of(place: MetricsPlace | None) -> dict[str, str]:
    """Return where metrics are served, by the name that the log has for it; nothing if they are not."""
    return {} if place is None else {"metrics": str(bound_address(place.socket))}


@contextmanager
def bind_metrics(settings: ProgramSettings, *, may_be_elsewhere: bool = False) -> Iterator[MetricsPlace | None]:
    """Bind the port, and make the folder that workers share; it is removed at the end.

    Args:
        settings: of the program.
        may_be_elsewhere: whether to take any free port where another program has this one.

    Yields:
        The place; None if metrics are not served.

    Raises:
        ConfigurationError: the port can't be bound, or there is no room for the folder.
    """
    with ExitStack() as stack:
        bound = None
        if settings.metrics is not None:
            bound = stack.enter_context(_bind(settings.metrics.listen, may_be_elsewhere=may_be_elsewhere))
        folder = None
        if bound is not None and settings.workers > 1:
            try:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sale-metrics-"))
            except OSError as error:
                raise ConfigurationError(
                    f"metrics.listen: several workers need a folder for temporary files (TMPDIR): {error.strerror}"
                ) from None
        yield None if bound is None else MetricsPlace(bound, folder)


def _bind(address: Address, *, may_be_elsewhere: bool) -> socket.socket:
    try:
        return bind(address, "metrics.listen")
    except ConfigurationError:
        if not may_be_elsewhere:
            raise
        return bind(address._replace(port=0), "metrics.listen")


class MetricsPort:
    """Serves `GET /metrics`, and nothing else, within the limits of the other HTTP ports.

    Args:
        settings: of the program, with a port for metrics.
        bound: its socket.
        text: returns the metrics.

    Raises:
        ConfigurationError: the file of a certificate can't be used.
    """

    def __init__(self, settings: ProgramSettings, bound: socket.socket, text: Callable[[], Awaitable[bytes]]) -> None:
        listener = settings.metrics
        if listener is None:
            raise TypeError("there is no port for metrics")
        self._listen = listener.listen
        self._tls = None
        if listener.tls_cert is not None:
            self._tls = HttpTls(listener, "metrics", requires_client_certificate=True)
        self._text = text
        self._server = HttpServer(
            self._answer,
            bound,
            Load(replace(limits_of(settings.http), connections=_CONNECTIONS, in_flight=_CONNECTIONS)),
            proxies=TrustedProxies(()),
            tls_context=None if self._tls is None else self._tls.context,
            grace_seconds=_GRACE_SECONDS,
        )

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigurationError: it can't be listened on.
        """
        try:
            await self._server.start()
        except OSError as error:
            raise not_listening("metrics.listen", self._listen, error) from None

    async def stop(self) -> None:
        """Listen no more."""
        await self._server.stop()

    def read_again(self) -> None:
        """Read the certificate again.

        Raises:
            ConfigurationError: it can't be used; then it stays as it is.
        """
        if self._tls is not None:
            self._tls.use(self._tls.read())

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != PATH:
            await _refuse(scope, send, GatewayError(ErrorReason.ERROR_REASON_PATH_NOT_FOUND))
        elif scope["method"] not in ("GET", "HEAD"):
            allow = ((b"allow", b"GET, HEAD"),)
            await _refuse(scope, send, GatewayError(ErrorReason.ERROR_REASON_METHOD_NOT_ALLOWED, headers=allow))
        else:
            body = await self._text()
            headers = [(b"content-type", _CONTENT_TYPE), (b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})


async def _refuse(scope: Scope, send: Send, refusal: GatewayError) -> None:
    scope["state"]["record"] = RequestRecord(request_id_of(scope["headers"]))
    await send_json(scope, send, refusal.http_status, refusal.body(), refusal.headers)
