"""Several processes behind the same ports: a supervisor that starts them, restarts one that died, and ends them."""

import itertools
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

import structlog

from gateway.program.service_manager import NOTIFY_SOCKET, WATCHDOG_PID, ServiceManager, SignsOfLife
from gateway.program.settings import ConfigurationError

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
_RESTART_PAUSE_SECONDS = 0.5
KILL_AFTER_SECONDS = 5.0
"""How much longer than its own grace a worker may take to end."""

Work = Callable[..., None]
"""A module's function: takes arguments that can be pickled and, last, a function to be called once it serves."""

_log = structlog.stdlib.get_logger(__name__)


class _Worker:
    """A worker that serves.

    Args:
        process: it runs in.
        signs: takes its signs of life; None where nobody waits for them.
    """

    def __init__(self, process: SpawnProcess, signs: SignsOfLife | None) -> None:
        self.process = process
        self._signs = signs

    def end_if_silent(self) -> None:
        """Kill it if its event loop hangs: it is replaced as one that died by itself."""
        if self._signs is not None and self._signs.are_missing() and self.process.is_alive():
            _log.error("worker hangs", pid=self.process.pid)
            self.process.kill()

    def close(self) -> None:
        """Let go of what it has beside the process."""
        if self._signs is not None:
            self._signs.close()


def supervise(
    count: int, work: Work, arguments: tuple[Any, ...], *, on_ready: Callable[[], None], grace_seconds: float
) -> None:
    """Run workers until SIGTERM or SIGINT; SIGHUP is passed on to them.

    Args:
        count: how many.
        work: what each of them runs.
        arguments: what it is given.
        on_ready: called once all of them serve.
        grace_seconds: how long they may take to end.

    Raises:
        ConfigurationError: a worker could not start.
        SystemExit: one did not end in its time and was killed.
    """
    workers: list[_Worker] = []
    manager = ServiceManager()
    start = partial(_start, work, arguments, manager.sign_seconds)
    with _received_signals(manager.sign_seconds) as received:
        try:
            while len(workers) < count:
                workers.append(start(len(workers)))
            on_ready()
            manager.say_ready()
            for number in received:
                manager.give_sign()
                for worker in workers:
                    worker.end_if_silent()
                if number in (signal.SIGTERM, signal.SIGINT):
                    break
                if number == signal.SIGHUP:
                    manager.reload(partial(_signal_all, workers, signal.SIGHUP))
                elif number is not None:
                    _restart_dead(workers, start)
        finally:
            manager.say_stopping()
            in_time = _stop_all(workers, grace_seconds)
    if not in_time:
        raise SystemExit(1)


@contextmanager
def _received_signals(patience: float | None) -> Iterator[Iterator[int | None]]:
    """Give the numbers of the signals as they come: they wait for their turn and interrupt nothing half-way.

    Args:
        patience: in seconds, after which None is given instead; None waits for ever.
    """
    receiver, sender = socket.socketpair()
    receiver.settimeout(patience)
    sender.setblocking(False)
    signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    for number in _SIGNALS:
        signal.signal(number, lambda number, frame: None)
    try:
        yield (_next_signal(receiver) for _ in itertools.count())
    finally:
        signal.set_wakeup_fd(-1)
        receiver.close()
        sender.close()


def _next_signal(receiver: socket.socket) -> int | None:
    try:
        return receiver.recv(1)[0]
    except TimeoutError:
        return None


def _start(work: Work, arguments: tuple[Any, ...], sign_seconds: float | None, position: int) -> _Worker:
    signs = None if sign_seconds is None else SignsOfLife(sign_seconds)
    try:
        return _Worker(_start_process(work, arguments, "" if signs is None else signs.name, position), signs)
    except ConfigurationError:
        if signs is not None:
            signs.close()
        raise


def _start_process(work: Work, arguments: tuple[Any, ...], signs: str, position: int) -> SpawnProcess:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    worker = context.Process(target=_run_worker, args=(work, arguments, sender, signs), name=f"worker-{position}")
    worker.start()
    sender.close()
    try:
        fault = receiver.recv()
    except EOFError:
        worker.join()
        raise ConfigurationError(f"workers: one could not start, exit code {worker.exitcode}") from None
    finally:
        receiver.close()
    if fault is not None:
        worker.join()
        raise ConfigurationError(fault)
    return worker


def _run_worker(work: Work, arguments: tuple[Any, ...], ready: Connection, signs: str) -> None:
    os.environ[NOTIFY_SOCKET] = signs  # its service manager is the supervisor
    os.environ.pop(WATCHDOG_PID, None)

    def on_ready() -> None:
        ready.send(None)
        ready.close()

    try:
        work(*arguments, on_ready)
    except ConfigurationError as error:
        ready.send(str(error))  # for the supervisor to tell, in its one line


def _restart_dead(workers: list[_Worker], start: Callable[[int], _Worker]) -> None:
    for position, worker in enumerate(workers):
        if not worker.process.is_alive():
            _log.error("worker died", pid=worker.process.pid, exit_code=worker.process.exitcode)
            time.sleep(_RESTART_PAUSE_SECONDS)
            try:
                workers[position] = start(position)
            except ConfigurationError as error:
                # The others serve on; the end of the one that failed is a signal to try again.
                _log.error("worker not replaced", fault=str(error))
            else:
                worker.close()
                _log.info("worker replaced", pid=workers[position].process.pid)


def _signal_all(workers: list[_Worker], number: int) -> None:
    for worker in workers:
        if worker.process.is_alive() and worker.process.pid is not None:
            os.kill(worker.process.pid, number)


def _stop_all(workers: list[_Worker], grace_seconds: float) -> bool:
    """End all workers; return whether none had to be killed."""
    _signal_all(workers, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds + KILL_AFTER_SECONDS
    in_time = True
    for process in (worker.process for worker in workers):
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            _log.error("worker killed", pid=process.pid)
            process.kill()
            process.join()
            in_time = False
    return in_time
