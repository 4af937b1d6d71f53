"""The sandbox beside another server, in a thread with an event loop of its own: one, however many workers that has."""

import asyncio
import atexit
import threading
from collections.abc import Callable

import structlog
import uvloop

from gateway.sandbox.server import SandboxServer

_STOP_SECONDS = 5.0
_log = structlog.stdlib.get_logger(__name__)


class SandboxThread:
    """A sandbox that runs from `start` to the end of the process.

    Args:
        address: where it listens.
        create: makes the server, within its event loop.
    """

    def __init__(self, address: str, create: Callable[[], SandboxServer]) -> None:
        self.address = address
        self._create = create
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)

    def start(self) -> None:
        """Run; return once it listens."""
        self._thread.start()
        self._started.wait()
        atexit.register(self.stop)

    def stop(self) -> None:
        """End it."""
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        try:
            uvloop.run(self._serve())
        except Exception as error:
            _log.error("sandbox ended", exc_info=error)  # the server goes on without it
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        server = self._create()
        await server.start()
        self._started.set()
        await self._stopping.wait()
        await server.stop()
