"""grpc.health.v1: whether this process can serve, by asking its store."""

import asyncio

import structlog
from grpc_health.v1 import health
from grpc_health.v1.health_pb2 import HealthCheckResponse

from service.errors import StoreFailed, StoreUnavailable
from service.store import Store

HEALTH_METHODS = "/grpc.health."
"""How the methods begin that load balancers call, who are nobody: they tell whether the server serves, no more."""

_INTERVAL_SECONDS = 1.0
_PATIENCE_SECONDS = 1.0
_log = structlog.stdlib.get_logger(__name__)


class StoreHealth:
    """Keeps a health servicer's status at what the store's is.

    Args:
        store: the store to ask.
        services: full names of the services that need it. The empty name, the whole server, is always among them.
    """

    def __init__(self, store: Store, services: tuple[str, ...]) -> None:
        self.servicer = health.aio.HealthServicer()
        self.failed = asyncio.Event()
        """Set once the store can't serve any more until it is opened anew."""
        self._store = store
        self._services = ("", *services)
        self._serving: bool | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Ask once, then again every second."""
        await self._ask()
        self._watch = asyncio.create_task(self._ask_again())

    async def stop(self) -> None:
        """Say NOT_SERVING from now on."""
        if self._watch is not None:
            self._watch.cancel()
        await self.servicer.enter_graceful_shutdown()

    async def _ask_again(self) -> None:
        while True:
            await asyncio.sleep(_INTERVAL_SECONDS)
            await self._ask()

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._store.ping()
        except TimeoutError:
            await self._set(False, "The store does not answer.")
        except StoreUnavailable as error:
            await self._set(False, str(error))
            if isinstance(error, StoreFailed):
                self.failed.set()
        else:
            await self._set(True, None)

    async def _set(self, serving: bool, fault: str | None) -> None:
        if serving is self._serving:
            return
        if not serving:
            _log.error("store not reachable", fault=fault)
        elif self._serving is not None:
            _log.info("store reachable again")
        self._serving = serving
        status = HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING
        for service in self._services:
            await self.servicer.set(service, status)
