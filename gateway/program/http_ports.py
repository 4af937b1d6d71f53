"""The HTTP ports of a process: one for everybody, or one for consumers and one for payment gateways."""

import asyncio
import resource
import socket
import ssl
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import grpc
import structlog
from connectingparty.sale.v1.access_pb2 import Party
from starlette.types import ASGIApp

from gateway.app import PARTIES, create_app
from gateway.client_addresses import TrustedProxies
from gateway.http_limits import Load
from gateway.http_server import HttpServer
from gateway.pages import Development
from gateway.program.http_settings import limits_of
from gateway.program.http_tls import HttpTls
from gateway.program.listening import bind, bound_address, not_listening
from gateway.program.settings import HttpSettings, ListenerSettings, ProgramSettings
from gateway.program.telemetry import Telemetry

_OTHER_DESCRIPTORS = 256
"""What a process needs besides those of its HTTP connections."""

_log = structlog.stdlib.get_logger(__name__)


class HttpSockets(NamedTuple):
    """Sockets that are bound and do not listen yet; workers share them."""

    main: socket.socket
    payment_gateway: socket.socket | None

    def addresses(self) -> dict[str, str]:
        """Return where they are, by the names that the log has for them."""
        named = {"http": self.main, "http_payment_gateway": self.payment_gateway}
        return {name: str(bound_address(bound)) for name, bound in named.items() if bound is not None}


def bind_http(settings: HttpSettings) -> HttpSockets:
    """Bind the ports.

    Args:
        settings: which.

    Raises:
        ConfigurationError: one can't be bound.
    """
    main, other = bind(settings.listen, "http.listen"), None
    if settings.payment_gateway is not None:
        other = bind(settings.payment_gateway.listen, "http.payment_gateway.listen")
    return HttpSockets(main, other)


class HttpPorts:
    """The HTTP servers of a process, with limits that they share.

    Args:
        settings: of the program.
        channel: to the service.
        sockets: of the ports.
        telemetry: what the process tells of itself.
        development: what the pages have in development mode; None outside it.

    Raises:
        ConfigurationError: the file of a certificate can't be used.
    """

    def __init__(
        self,
        settings: ProgramSettings,
        channel: grpc.aio.Channel,
        sockets: HttpSockets,
        telemetry: Telemetry,
        development: Development | None = None,
    ) -> None:
        self._settings = settings
        self._development = development
        self._channel = telemetry.around_channel(channel)
        limits = limits_of(settings.http)
        self._load = Load(replace(limits, connections=_allow_descriptors(limits.connections)))
        self._telemetry = telemetry
        self._observe = telemetry.observe(self._load)
        self._proxies = TrustedProxies(settings.http.trusted_proxies)
        self._tls: list[HttpTls] = []
        parties = PARTIES
        self._servers: dict[str, HttpServer] = {}
        other = settings.http.payment_gateway
        if other is not None and sockets.payment_gateway is not None:
            parties -= {Party.PARTY_PAYMENT_GATEWAY}
            tls = self._read_tls(other, "http.payment_gateway", requires_client_certificate=True)
            server = self._create(sockets.payment_gateway, {Party.PARTY_PAYMENT_GATEWAY}, tls)
            self._servers["http.payment_gateway"] = server
        tls = self._read_tls(settings.http, "http", requires_client_certificate=False)
        self._servers["http"] = self._create(sockets.main, parties, tls)
        self._telling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigurationError: a port can't be listened on; then none is.
        """
        begun: list[HttpServer] = []
        for name, server in self._servers.items():
            try:
                await server.start()
            except OSError as error:
                await asyncio.gather(*(each.stop() for each in begun))
                where = self._settings.http.listeners()[name].listen
                raise not_listening(f"{name}.listen", where, error) from None
            begun.append(server)
        self._telling = asyncio.create_task(self._tell())

    async def stop(self) -> None:
        """Accept no more connections, answer the requests that run, and close."""
        await asyncio.gather(*(server.stop() for server in self._servers.values()))
        if self._telling is not None:
            self._telling.cancel()
        self._load.tell()

    def read(self) -> list[ssl.SSLContext]:
        """Read the certificates again.

        Raises:
            ConfigurationError: one can't be used.
        """
        return [tls.read() for tls in self._tls]

    def use(self, contexts: Sequence[ssl.SSLContext]) -> None:
        """Make the handshakes from now on with other ones.

        Args:
            contexts: as `read` returned them.
        """
        for tls, context in zip(self._tls, contexts, strict=True):
            tls.use(context)

    def _read_tls(self, settings: ListenerSettings, name: str, *, requires_client_certificate: bool) -> HttpTls | None:
        if settings.tls_cert is None:
            return None
        self._tls.append(HttpTls(settings, name, requires_client_certificate=requires_client_certificate))
        return self._tls[-1]

    def _create(self, bound: socket.socket, parties: Collection[Party.ValueType], tls: HttpTls | None) -> HttpServer:
        http = self._settings.http
        app = create_app(
            self._channel,
            parties,
            deadline_seconds=http.deadline.total_seconds(),
            is_overloaded=lambda: http.limits.unready_when_overloaded and self._load.is_overloaded,
            pages=self._pages(parties),
            observe=self._observe,
            around=self._telemetry.around_app,
        )
        return HttpServer(
            app,
            bound,
            self._load,
            proxies=self._proxies,
            tls_context=None if tls is None else tls.context,
            grace_seconds=self._settings.shutdown_grace.total_seconds(),
        )

    def _pages(self, parties: Collection[Party.ValueType]) -> Iterable[tuple[str, ASGIApp]]:
        if not self._settings.http.docs or Party.PARTY_CONSUMER not in parties:
            return ()
        from gateway.pages.site import page_routes  # noqa: PLC0415  # only where there are pages

        deadline_seconds = self._settings.http.deadline.total_seconds()
        return page_routes(self._channel, parties, self._development, deadline_seconds=deadline_seconds)

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self._load.tell()


def _allow_descriptors(connections: int) -> int:
    """Return for how many connections the system gives this process descriptors, up to those that are wanted."""
    wanted = connections + _OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    allowed = max(1, soft - _OTHER_DESCRIPTORS)
    _log.warning("fewer connections than configured", configured=connections, allowed=allowed)
    return allowed
