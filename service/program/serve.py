"""The service as a running program, with the JSON gateway in the same process or without it."""

import secrets
import socket
from collections.abc import Callable
from pathlib import Path

import structlog

from gateway.http_server import HttpServer
from gateway.program.logs import configure_logs
from gateway.program.process import run_server
from gateway.program.serve import create_http_server
from gateway.program.settings import Address, ConfigurationError, load_settings
from service.access_tokens import AccessTokens
from service.endpoints import Endpoints
from service.errors import StoreUnavailable
from service.identifiers import utc_now
from service.program.settings import ServiceSettings, endpoints_of
from service.rpc.server import SaleServer
from service.sales import Sales
from service.store.sqlite import SqliteStore

_log = structlog.stdlib.get_logger(__name__)


class ServiceServer:
    """A `gateway.program.process.Server`: the store, the domain, the gRPC port and, with a listener, the gateway.

    Args:
        settings: of the program.
        config: the file to read the endpoints from again.
        listener: bound to the gateway's port; None leaves the gateway out.
        grpc: where the gRPC port is; port 0 lets the system choose.

    Raises:
        ConfigurationError: an endpoint is wrong, or the store can't be opened.
    """

    def __init__(
        self, settings: ServiceSettings, config: Path | None, listener: socket.socket | None, grpc: Address
    ) -> None:
        self.grpc = grpc
        self._settings = settings
        self._config = config
        self._endpoints = Endpoints(endpoints_of(settings.endpoints))
        self._store = _open_store(settings.store.path)
        access_tokens = AccessTokens(
            self._store,
            self._endpoints,
            mode=settings.access_tokens.mode,
            ttl=settings.access_tokens.ttl,
            public=settings.access_tokens.public,
            clock=utc_now,
            randomness=secrets.token_bytes,
        )
        sales = Sales(
            self._store,
            self._endpoints,
            access_tokens,
            session_ttl=settings.sessions.ttl,
            clock=utc_now,
            randomness=secrets.token_bytes,
        )
        self._rpc = SaleServer(
            sales,
            access_tokens,
            self._store,
            reflection=settings.grpc.reflection,
            reuse_port=settings.workers > 1,
        )
        self._http: HttpServer | None = None
        if listener is not None:
            self._http = create_http_server(settings, self._rpc.channel(), listener)

    async def start(self) -> None:
        """Listen on both ports.

        Raises:
            ConfigurationError: the gRPC port can't be listened on.
        """
        try:
            port = await self._rpc.start(str(self.grpc))
        except OSError as error:
            await self._store.close()
            raise ConfigurationError(f"grpc.listen: {error}") from None
        self.grpc = self.grpc._replace(port=port)
        if self._http is not None:
            await self._http.start()

    async def stop(self) -> None:
        """Say so, answer what runs, and close the store."""
        await self._rpc.say_not_serving()
        if self._http is not None:
            await self._http.stop()
        await self._rpc.stop(self._settings.shutdown_grace.total_seconds())
        await self._store.close()

    def reload(self) -> None:
        """Read the endpoints and their keys again; if they are wrong, say so and keep those that there are."""
        try:
            settings = self._settings
            if self._config is not None:
                settings = load_settings(ServiceSettings, self._config, {})
            # Without endpoints in the file, development mode's stay.
            self._endpoints.replace(endpoints_of(settings.endpoints or self._settings.endpoints))
        except ConfigurationError as error:
            _log.error("endpoints not reloaded", fault=str(error))
        else:
            _log.info("endpoints reloaded")


def _open_store(path: Path) -> SqliteStore:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return SqliteStore(path)
    except (OSError, StoreUnavailable, RuntimeError) as error:
        cause = error.__cause__ or error
        raise ConfigurationError(f"store.url: {path} can't be opened: {cause}") from error


def serve(
    settings: ServiceSettings,
    config: Path | None,
    listener: socket.socket | None,
    grpc: Address,
    on_ready: Callable[[Address], None],
) -> None:
    """Run the service in this process until it is told to stop.

    Args:
        settings: of the program.
        config: the file to read the endpoints from again.
        listener: bound to the gateway's port; None leaves the gateway out.
        grpc: where the gRPC port is.
        on_ready: called with where it is once both ports are served.
    """
    configure_logs()
    run_server(lambda: ServiceServer(settings, config, listener, grpc), lambda server: on_ready(server.grpc))


def serve_worker(
    settings: ServiceSettings,
    config: Path | None,
    listener: socket.socket | None,
    grpc: Address,
    on_ready: Callable[[], None],
) -> None:
    """As `serve`, for one of several workers: the supervisor knows both ports."""
    configure_logs()

    def create() -> ServiceServer:
        server = ServiceServer(settings, config, listener, grpc)
        server.reload()  # a worker that replaces another must not go back to keys that were rotated since the start
        return server

    run_server(create, lambda server: on_ready())
