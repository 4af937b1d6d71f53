"""The service as a running program, with the JSON gateway in the same process or without it."""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from functools import partial

import structlog
from connectingparty.sale.v1.access_pb2 import Role

from gateway.program.file_checks import warn
from gateway.program.http_ports import HttpPorts, HttpSockets
from gateway.program.logs import configure_logs
from gateway.program.metrics_port import MetricsPlace
from gateway.program.process import run_server
from gateway.program.reloading import SettingsSource, waiting_for_restart
from gateway.program.settings import ConfigurationError, load_settings
from gateway.program.values import Address
from service.audit import AuditAction
from service.callers import Caller, Credentials
from service.errors import StoreUnavailable
from service.identifiers import utc_now
from service.origin import Origin, begin_from
from service.program.checks import suspicious_settings, unused_tables
from service.program.development import DEVELOPER, pages_of, with_development_defaults
from service.program.domain import Domain, create_domain
from service.program.filter_settings import slowness_of
from service.program.fingerprints import fingerprints
from service.program.grpc_tls import GrpcTls
from service.program.observation import Observation, known_of_call_and_trace
from service.program.settings import ServiceSettings
from service.rpc.server import SaleServer

_PROGRAM = "sale-service serve"
_READ_AGAIN = ("endpoints", "vault", "callers", "sale_limits")
"""Tables that count anew when they are reloaded; of the others what their files hold does."""
_log = structlog.stdlib.get_logger(__name__)


class ServiceServer:
    """A `gateway.program.process.Server`: the store, the domain, the gRPC port and, with sockets, the gateway.

    Args:
        domain: what is served; its store is closed at the end.
        settings: of the program.
        source: where to read what can be changed again.
        sockets: of the gateway's ports; None leaves the gateway out.
        observation: what the process tells of itself.
        grpc: where the gRPC port is; port 0 lets the system choose.
    """

    def __init__(
        self,
        domain: Domain,
        settings: ServiceSettings,
        source: SettingsSource,
        sockets: HttpSockets | None,
        observation: Observation,
        grpc: Address,
    ) -> None:
        self.grpc = grpc
        self._observation = observation
        self._settings = settings
        self._in_force = settings
        """With what of them was read again."""
        self._fingerprints: Mapping[str, str] = {}
        self._noting: asyncio.Task[None] | None = None
        self._source = source
        self._domain = domain
        self._tls = None if settings.grpc.tls_cert is None else GrpcTls(settings.grpc)
        self._rpc = SaleServer(
            self._domain.sales,
            self._domain.access_tokens,
            self._domain.cards,
            self._domain.blocklist,
            self._domain.endpoints,
            self._domain.sale_events,
            self._domain.store,
            self._identify,
            domain.audit_log.note_refusal,
            None if self._tls is None else self._tls.credentials(),
            limits=settings.grpc.limits.to_limits(),
            slowness=slowness_of(settings.guesses, settings.http.limits.in_flight),
            watch_patience=settings.watch.patience,
            reflection=settings.grpc.reflection,
            reuse_port=settings.workers > 1,
            in_process_roles={Role.ROLE_GATEWAY, *([Role.ROLE_READER] if settings.development else [])},
            observers=observation.observers(),
        )
        self._housekeeping: asyncio.Task[None] | None = None
        self._http = None
        if sockets is not None:
            channel = self._rpc.channel()
            self._http = HttpPorts(settings, channel, sockets, observation.telemetry, pages_of(settings))
        observation.watch(domain, self._rpc)
        self._note_settings()

    async def start(self) -> None:
        """Listen on both ports.

        Raises:
            ConfigurationError: one can't be listened on.
        """
        try:
            await self._listen()
        except ConfigurationError:
            await self._domain.store.close()
            raise
        self._housekeeping = asyncio.create_task(self._keep_house())
        await self._note_configuration(AuditAction.CONFIGURATION_READ)

    async def _listen(self) -> None:
        try:
            port = await self._rpc.start(str(self.grpc))
        except OSError as error:
            raise ConfigurationError(f"grpc.listen: {error}") from None
        self.grpc = self.grpc._replace(port=port)
        try:
            if self._http is not None:
                await self._http.start()
            await self._observation.telemetry.start()
        except ConfigurationError:
            await self._rpc.say_not_serving()
            await self._rpc.stop(0)
            raise

    async def wait_until_failed(self) -> None:
        """Return when the store has failed: started anew, it finds out what the disk holds."""
        await self._rpc.wait_until_failed()
        _log.critical("store failed")

    async def stop(self) -> None:
        """Say so, answer what runs, and close the store."""
        await self._rpc.say_not_serving()
        stops = [self._rpc.stop(self._settings.shutdown_grace.total_seconds())]
        if self._http is not None:
            stops.append(self._http.stop())
        await asyncio.gather(*stops)  # within the same grace
        if self._housekeeping is not None:
            self._housekeeping.cancel()
        if self._noting is not None:
            await self._noting
        await self._domain.sale_events.close()
        await self._domain.audit_log.close()
        await self._domain.store.close()
        await self._observation.telemetry.stop()

    def reload(self) -> None:
        """Read the endpoints and all keys again; if they are wrong, say so and keep those that there are."""
        try:
            waiting = self.read_again()
        except ConfigurationError as error:
            _log.error("settings not reloaded", fault=str(error))
        else:
            config, serves_http = self._source.file, self._http is not None
            warn(suspicious_settings(self._in_force, config, utc_now(), serves_http=serves_http))
            _log.info("settings reloaded", **waiting)
            self._noting = asyncio.create_task(
                self._note_configuration(AuditAction.CONFIGURATION_RELOADED, self._noting)
            )

    def read_again(self) -> dict[str, list[str]]:
        """Read the endpoints and all keys again.

        Returns:
            As of `waiting_for_restart`.

        Raises:
            ConfigurationError: they are wrong; then they stay as they are.
        """
        settings = load_settings(ServiceSettings, *self._source)
        if self._settings.development:
            settings = with_development_defaults(settings)
        in_force = self._settings.model_copy(update={name: getattr(settings, name) for name in _READ_AGAIN})
        uses: list[Callable[[], None]] = []
        if self._tls is not None:
            uses.append(partial(self._tls.use, self._tls.read()))
        if self._http is not None:
            uses.append(partial(self._http.use, self._http.read()))
        self._observation.telemetry.read_again()
        self._domain.replace_keys(in_force)
        for use in uses:
            use()
        self._in_force = in_force
        self._note_settings()
        without = {*_READ_AGAIN, *unused_tables(serves_http=self._http is not None)}
        return waiting_for_restart(self._settings, settings, without)

    async def _note_configuration(self, action: AuditAction, before: asyncio.Task[None] | None = None) -> None:
        """Keep in the audit log which tables have changed."""
        if before is not None:
            await before
        begin_from(Origin(_PROGRAM))
        try:
            found = fingerprints(self._in_force)
            changed = {name: now for name, now in found.items() if now != self._fingerprints.get(name)}
            await self._domain.audit_log.append(action, f"{socket.gethostname()}/{os.getpid()}", **changed)
        except (StoreUnavailable, ValueError, OSError) as error:
            _log.error("configuration not noted", fault=str(error))
        else:
            self._fingerprints = found

    def _note_settings(self) -> None:
        self._observation.note_settings(self._in_force, serves_http=self._http is not None)

    def _identify(self, credentials: Credentials) -> Caller | None:
        return DEVELOPER if self._settings.development else self._domain.callers.identify(credentials)

    async def _keep_house(self) -> None:
        while True:
            counts = None
            try:
                counts = await self._domain.housekeeping.run()
            except StoreUnavailable as error:
                _log.warning("housekeeping put off", fault=str(error))
            except Exception as error:
                # It is tried again: sessions that are never expired would be worse than a fault in the log every time.
                _log.error("housekeeping failed", exc_info=error)
            else:
                if any(counts.values()):
                    _log.info("housekeeping", **counts)
            self._observation.note_housekeeping(counts)
            await asyncio.sleep(self._settings.housekeeping.interval.total_seconds())


def serve(
    settings: ServiceSettings,
    source: SettingsSource,
    sockets: HttpSockets | None,
    metrics: MetricsPlace | None,
    grpc: Address,
    on_ready: Callable[[Address], None],
) -> None:
    """Run the service in this process until it is told to stop.

    Args:
        settings: of the program.
        source: where to read what can be changed again.
        sockets: of the gateway's ports; None leaves the gateway out.
        metrics: where its metrics are; None if they are not served.
        grpc: where the gRPC port is.
        on_ready: called with where it is once both ports are served.
    """
    configure_logs(known_of_call_and_trace(settings))

    async def create() -> ServiceServer:
        return await _create(settings, source, sockets, metrics, grpc)

    run_server(create, lambda server: on_ready(server.grpc))


def serve_worker(
    settings: ServiceSettings,
    source: SettingsSource,
    sockets: HttpSockets | None,
    metrics: MetricsPlace | None,
    grpc: Address,
    on_ready: Callable[[], None],
) -> None:
    """As `serve`, for one of several workers: the supervisor knows both ports."""
    configure_logs(known_of_call_and_trace(settings))

    async def create() -> ServiceServer:
        server = await _create(settings, source, sockets, metrics, grpc)
        server.read_again()  # a worker that replaces another must not go back to keys that were rotated since the start
        return server

    run_server(create, lambda server: on_ready())


async def _create(
    settings: ServiceSettings,
    source: SettingsSource,
    sockets: HttpSockets | None,
    metrics: MetricsPlace | None,
    grpc: Address,
) -> ServiceServer:
    observation = Observation(settings, metrics)
    domain = await create_domain(settings, observation.around_store)
    return ServiceServer(domain, settings, source, sockets, observation, grpc)
