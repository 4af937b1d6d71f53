"""A disk below SQLite that fails at a chosen call, or whose power is cut, and that knows what it was told to sync."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import apsw

SECTOR = 512
"""What a disk writes as a whole: a longer write may get there in parts."""
_SHORT = "short"
_ERRORS = {
    ("write", "EIO"): apsw.SQLITE_IOERR_WRITE,
    ("write", "ENOSPC"): apsw.SQLITE_FULL,
    ("write", _SHORT): apsw.SQLITE_FULL,
    ("sync", "EIO"): apsw.SQLITE_IOERR_FSYNC,
}
FAULTS = tuple(_ERRORS)
"""Every call that can fail, and how; of a short write the first half gets in."""


class Call(NamedTuple):
    """One that was made."""

    name: str
    file: str
    """Its name without the folder."""


@dataclass
class Content:
    """Of one file."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Since the last sync: what was written where, or to what size the file was cut (None)."""

    def sync(self) -> None:
        for offset, data in self.pending:
            _apply(self.durable, offset, data)
        self.pending.clear()

    def after_cut(self, chance: random.Random) -> bytes:
        """Return what may be there: of what was not synced all, nothing, some, or parts of some."""
        content = bytearray(self.durable)
        kept = chance.choice((0.0, 0.5, 0.9, 1.0))
        for offset, data in self.pending:
            if data is None:
                if chance.random() < kept:
                    _apply(content, offset, None)
                continue
            torn = chance.random() < 0.3
            whole = chance.random() < kept
            for start in range(0, len(data), SECTOR):
                if chance.random() < kept if torn else whole:
                    _apply(content, offset + start, data[start : start + SECTOR])
        return bytes(content)


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        return
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data


class Disk(apsw.VFS):
    """Every file that SQLite opens is on it, until the block of `new_disk` ends. Syncs reach no real disk."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.contents: dict[str, Content] = {}
        self.failed: Call | None = None
        """The call that was to fail, or at which the power was cut, once it was made."""
        self._fault: tuple[str, str, int] | None = None
        self._cut_at: int | None = None
        self._is_off = False
        self._lock = threading.Lock()
        super().__init__("disk", "unix", makedefault=True)

    def fail(self, call: str, how: str, number: int) -> None:
        """Let the call with this number from now on, counted from 1, fail: one of `FAULTS`."""
        self._fault, self.failed = (call, how, number), None

    def cut_power(self, number: int) -> None:
        """Cut the power at the write or sync with this number from now on."""
        self._cut_at, self.failed = number, None

    def restart(self, folder: Path, chance: random.Random) -> None:
        """Write what is there when the power comes back into a folder, and work from now on."""
        for name, content in self.contents.items():
            (folder / name).write_bytes(content.after_cut(chance))
        self.contents.clear()
        self._is_off = False

    def syncs(self, file: str) -> int:
        """Return how often a file was synced."""
        return sum(call == Call("sync", file) for call in self.calls)

    def xOpen(self, name: Any, flags: list[int]) -> "DiskFile":  # noqa: N802
        return DiskFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        with self._lock:
            self._require_power(apsw.SQLITE_IOERR_DELETE)
            self.contents.pop(Path(filename).name, None)
        super().xDelete(filename, syncdir)

    def pass_write(self, file: "DiskFile", offset: int, data: bytes) -> None:
        with self._lock:
            how = self._take("write", file.name)
            if how == _SHORT:
                data = data[: len(data) // 2]
            if how in {None, _SHORT}:
                file.write(data, offset)
                self.contents[file.name].pending.append((offset, data))
            if how is not None:
                raise apsw.exception_for(_ERRORS["write", how])

    def pass_sync(self, file: "DiskFile") -> None:
        with self._lock:
            if (how := self._take("sync", file.name)) is not None:
                # As Linux does it: they can be read still, and no later sync writes them.
                self.contents[file.name].pending.clear()
                raise apsw.exception_for(_ERRORS["sync", how])
            self.contents[file.name].sync()

    def pass_truncate(self, file: "DiskFile", size: int) -> None:
        with self._lock:
            self._require_power(apsw.SQLITE_IOERR_TRUNCATE)
            file.truncate(size)
            self.contents[file.name].pending.append((size, None))

    def _take(self, call: str, file: str) -> str | None:
        """Note a call, and return how it fails, if it does."""
        self._require_power(apsw.SQLITE_IOERR_WRITE)
        self.calls.append(Call(call, file))
        if self._cut_at is not None:
            self._cut_at -= 1
            if self._cut_at == 0:
                self._is_off, self._cut_at, self.failed = True, None, self.calls[-1]
                self._require_power(apsw.SQLITE_IOERR_WRITE)
        if self._fault is not None and self._fault[0] == call:
            _, how, number = self._fault
            self._fault = (call, how, number - 1)
            if number == 1:
                self._fault, self.failed = None, self.calls[-1]
                return how
        return None

    def _require_power(self, code: int) -> None:
        if self._is_off:
            raise apsw.exception_for(code)


class DiskFile(apsw.VFSFile):
    """A file on a `Disk`."""

    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self.name = Path(path or "temporary").name
        super().__init__("unix", name, flags)
        if self.name not in disk.contents:
            there = Path(path).read_bytes() if path else b""
            disk.contents[self.name] = Content(bytearray(there))

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._disk.pass_write(self, offset, bytes(data))

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.pass_sync(self)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._disk.pass_truncate(self, newsize)

    def write(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)

    def truncate(self, size: int) -> None:
        super().xTruncate(size)


@contextmanager
def new_disk() -> Iterator[Disk]:
    """Put a disk below SQLite for as long as the block runs."""
    disk = Disk()
    try:
        yield disk
    finally:
        disk.unregister()
