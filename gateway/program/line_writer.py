"""Lines of the log on their way out, several with one write."""

import asyncio
import atexit
import os

_DELAY_SECONDS = 0.01
_MAX_BYTES = 4096
"""What a pipe takes in one piece (POSIX's PIPE_BUF on Linux): so lines of several processes do not mix in it."""


class LineWriter:
    """A logger for structlog that writes lines to a file descriptor.

    Each write hands Python's lock to another thread, and on a pipe it wakes a reader. So lines wait up to 10 ms for
    others while an event loop runs; a warning or an error goes out at once, and what has waited goes before it.

    Args:
        descriptor: of the open file.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: list[bytes] = []
        self._size = 0
        self._torn = False
        atexit.register(self.flush)

    def info(self, line: bytes) -> None:
        """Write a line soon."""
        if self._size + len(line) >= _MAX_BYTES:
            self.flush()
        if not self._waiting:
            try:
                asyncio.get_running_loop().call_later(_DELAY_SECONDS, self.flush)
            except RuntimeError:
                self._write(line + b"\n")
                return
        self._waiting.append(line)
        self._size += len(line) + 1

    def error(self, line: bytes) -> None:
        """Write a line now."""
        self.flush()
        self._write(line + b"\n")

    debug = info
    warning = critical = error

    def flush(self) -> None:
        """Write what waits."""
        if self._waiting:
            lines, self._waiting, self._size = self._waiting, [], 0
            self._write(b"\n".join(lines) + b"\n")

    def _write(self, data: bytes) -> None:
        # A log that can't be written must not fail what is logged. After a piece of a line the next one begins anew.
        if self._torn:
            data = b"\n" + data
        while data:
            try:
                written = os.write(self._descriptor, data)
            except OSError:
                return
            self._torn = data[written - 1] != 10
            data = data[written:]
