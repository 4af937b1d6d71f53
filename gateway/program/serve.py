"""The gateway alone, in front of a service somewhere else."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import grpc
import structlog

from gateway.multiplexing import MultiplexedChannel
from gateway.program.file_checks import suspicious_files, warn
from gateway.program.http_ports import HttpPorts, HttpSockets
from gateway.program.logs import configure_logs
from gateway.program.metrics_port import MetricsPlace
from gateway.program.process import run_server
from gateway.program.reloading import SettingsSource, waiting_for_restart
from gateway.program.service_access import authorization_of, credentials_of
from gateway.program.service_faults import explain
from gateway.program.settings import ConfigurationError, GatewaySettings, load_settings
from gateway.program.telemetry import Telemetry, known_of_trace

_log = structlog.stdlib.get_logger(__name__)
_CHANNEL_OPTIONS = (
    # A service that comes back is found within a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A connection that died without a word is noticed.
    ("grpc.keepalive_time_ms", 300_000),
    # Every gateway in a process has connections of its own.
    ("grpc.use_local_subchannel_pool", 1),
)


class GatewayServer:
    """A `gateway.program.process.Server`.

    Args:
        settings: of the program.
        source: where to read them again.
        sockets: of the gateway's ports.
        metrics: where its metrics are; None if they are not served.

    Raises:
        ConfigurationError: a file can't be read.
    """

    def __init__(
        self, settings: GatewaySettings, source: SettingsSource, sockets: HttpSockets, metrics: MetricsPlace | None
    ) -> None:
        self._settings = settings
        self._source = source
        self._telemetry = Telemetry(settings, metrics, "sale-gateway")
        if self._telemetry.metrics is not None:
            self._telemetry.metrics.note_build(store="")
        self._telemetry.note_certificates(settings)
        self._channel = _channel_to_service(settings)
        self._http = HttpPorts(settings, self._channel, sockets, self._telemetry)

    async def start(self) -> None:
        """Listen. The service need not be there yet.

        Raises:
            ConfigurationError: a port can't be listened on.
        """
        try:
            await self._http.start()
            await self._telemetry.start()
        except ConfigurationError:
            await self._channel.close()
            raise

    async def wait_until_failed(self) -> None:
        """Never return: it keeps nothing that could break."""
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """Answer what runs, then let go of the service."""
        await self._http.stop()
        await self._channel.close()
        await self._telemetry.stop()

    def reload(self) -> None:
        """Read the certificates again; if they are wrong, say so and keep those that there are."""
        try:
            settings = load_settings(GatewaySettings, *self._source)
            self._http.use(self._http.read())
            self._telemetry.read_again()
        except ConfigurationError as error:
            _log.error("settings not reloaded", fault=str(error))
        else:
            self._telemetry.note_certificates(self._settings)
            warn(suspicious_files(self._settings, self._source.file, datetime.now(UTC)))
            _log.info("settings reloaded", **waiting_for_restart(self._settings, settings, ()))


def _channel_to_service(settings: GatewaySettings) -> MultiplexedChannel:
    address, credentials = str(settings.http.service), credentials_of(settings.service)
    channel = (
        grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
        if credentials is None
        else grpc.aio.secure_channel(address, credentials, options=_CHANNEL_OPTIONS)
    )
    explained = partial(explain, settings=settings)
    return MultiplexedChannel(channel, authorization_of(settings.service), explain=explained)


def serve(
    settings: GatewaySettings,
    source: SettingsSource,
    sockets: HttpSockets,
    metrics: MetricsPlace | None,
    on_ready: Callable[[], None],
) -> None:
    """Run a gateway in this process until it is told to stop."""
    configure_logs(known_of_trace(settings))

    async def create() -> GatewayServer:
        return GatewayServer(settings, source, sockets, metrics)

    run_server(create, lambda server: on_ready())
