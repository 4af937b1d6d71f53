"""One serving process: its event loop, its signals, its end."""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable
from multiprocessing import parent_process
from typing import Protocol, TypeVar

import structlog
import uvloop

from gateway.program.service_manager import ServiceManager

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_YOUNG_OBJECTS = 20_000
"""More than the requests that run at once are made of: at Python's own 700 an eighth of the time went into looking for
garbage among them."""

_log = structlog.stdlib.get_logger(__name__)


class Server(Protocol):
    """What a process runs."""

    async def start(self) -> None:
        """Begin to serve; what was begun is undone when this raises."""

    async def wait_until_failed(self) -> None:
        """Return when only a new process can serve; most servers never do."""

    async def stop(self) -> None:
        """Answer what runs and let go of everything."""

    def reload(self) -> None:
        """Read again what can be changed while it runs."""


ServerT = TypeVar("ServerT", bound=Server)


def run_server(create: Callable[[], Awaitable[ServerT]], on_ready: Callable[[ServerT], None]) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reloads.

    Args:
        create: makes the server, within the event loop.
        on_ready: called once it serves.

    Raises:
        Exception: whatever kept it from starting.
        SystemExit: it failed; whoever started it should start it again.
    """
    if uvloop.run(_serve(create, on_ready)):
        raise SystemExit(1)


async def _serve(create: Callable[[], Awaitable[ServerT]], on_ready: Callable[[ServerT], None]) -> bool:
    """Serve, and return whether it failed."""
    loop = asyncio.get_running_loop()
    stopping, early_reload = asyncio.Event(), asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, early_reload.set)  # which would end the program otherwise
    server = await create()
    for number in _STOP_SIGNALS:
        signal.signal(number, lambda number, frame: stopping.set())
    parent = parent_process()
    manager = ServiceManager()
    if parent is not None:
        loop.add_reader(parent.sentinel, stopping.set)  # a worker does not outlive its supervisor
    await server.start()
    on_ready(server)
    manager.say_ready()
    loop.add_signal_handler(signal.SIGHUP, manager.reload, server.reload)
    if early_reload.is_set():
        manager.reload(server.reload)
    signs = asyncio.create_task(manager.give_signs())
    _spare_garbage_collection()
    failure = asyncio.create_task(server.wait_until_failed())
    failure.add_done_callback(lambda done: stopping.set())
    await stopping.wait()
    failed = failure.done()
    failure.cancel()
    # A second one must not cut the end short; a handler of the loop would give way to the default one when it closes.
    for number in _STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if parent is not None:
        loop.remove_reader(parent.sentinel)
    _log.info("stopping")
    manager.say_stopping()
    await server.stop()
    signs.cancel()
    _log.info("stopped")
    return failed


def _spare_garbage_collection() -> None:
    # What a start makes stays until the end; what a request makes is freed by reference counting, but for few cycles.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)
