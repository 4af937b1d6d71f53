"""What the processes of a server use, as Linux counts it."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# Positions in /proc/PID/stat after the name: proc_pid_stat(5) counts them from 1, and the name is the second.
_PARENT, _CPU, _PAGES = 1, slice(11, 15), 21


class Process(NamedTuple):
    """A process at one moment."""

    pid: int
    parent: int
    name: str
    cpu_seconds: float
    """Of its own, and of its children that have ended."""
    resident_bytes: int


def families(pids: Iterable[int]) -> list[Process]:
    """Return these processes and all that descend from them."""
    known = {process.pid: process for process in _processes()}
    chosen = {pid: known[pid] for pid in pids}
    size = 0
    while size < len(chosen):
        size = len(chosen)
        chosen |= {process.pid: process for process in known.values() if process.parent in chosen}
    return list(chosen.values())


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return what these processes and all that descend from them have used of the cores."""
    return sum(process.cpu_seconds for process in families(pids))


def _processes() -> Iterator[Process]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            head, _, tail = path.read_text(errors="replace").rpartition(")")
            fields = tail.split()
            yield Process(
                pid=int(path.parent.name),
                parent=int(fields[_PARENT]),
                name=head.partition("(")[2],
                cpu_seconds=sum(map(int, fields[_CPU])) / _TICKS_PER_SECOND,
                resident_bytes=int(fields[_PAGES]) * _PAGE_BYTES,
            )
