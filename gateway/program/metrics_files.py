"""The files by which workers share what they count."""

import os
from contextlib import suppress
from pathlib import Path

from prometheus_client import values
from prometheus_client.multiprocess import mark_process_dead

_ROOM = {
    "counter": 1 << 20,
    "histogram": 1 << 20,
    "gauge_livesum": 1 << 16,
    "gauge_livemax": 1 << 16,
    "gauge_livemin": 1 << 16,
    "gauge_max": 1 << 16,
}
"""Bytes, by kind of metric: more than all series need that there can be."""


def share_values(folder: Path, place: str) -> None:
    """Let all metrics that are made from now on have their values in files, which are whole before they are used.

    Prometheus' client maps files with holes into memory: where the disk is full, to count would end the process.

    Args:
        folder: of all workers; it exists.
        place: of this worker among them. One that replaces another counts on from where that stopped.

    Raises:
        OSError: there is no such folder, or no room in it; then values stay in this process.
    """
    mark_process_dead(place, folder)  # whose place this was before
    for kind, room in _ROOM.items():
        _reserve(folder / f"{kind}_{place}.db", room)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    values.ValueClass = values.MultiProcessValue(lambda: place)


def _reserve(path: Path, room: int) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, room)
    except OSError:
        # Of a new file nothing may be left that has holes and is read.
        if os.fstat(descriptor).st_size < room:
            with suppress(FileNotFoundError):
                path.unlink()
        raise
    finally:
        os.close(descriptor)
