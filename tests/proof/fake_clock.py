"""A clock that is moved while a program reads it: libfaketime, as Debian's package `faketime` installs it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

LIBRARY = next(
    (path for folder in ("/usr/lib", "/usr/lib64") for path in Path(folder).glob("**/faketime/libfaketimeMT.so.1")),
    None,
)
"""The variant for programs with threads; None where it is not installed."""


class FakeClock:
    """The time of day of one program. Its monotonic clock, by which it waits, goes on as it is.

    Args:
        folder: takes the file by which the clock is set.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.shift(timedelta())

    @property
    def environment(self) -> Mapping[str, str]:
        """What the program has to be started with."""
        return {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # waits with a limit would end at once otherwise
            "DONT_FAKE_MONOTONIC": "1",  # its name in older versions
        }

    def shift(self, by: timedelta, *, speed: int = 1) -> None:
        """Set it so far from the real one.

        Args:
            by: how far.
            speed: how many times as fast it runs, all the time since the program was started included.
        """
        self._set(f"{by.total_seconds():+.0f}s" + (f" x{speed}" if speed != 1 else ""))

    def stand_still(self, at: datetime) -> None:
        """Let it stand at a moment, which is told in UTC."""
        self._set(at.strftime("%Y-%m-%d %H:%M:%S"))

    def _set(self, words: str) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(words)
        new.replace(self._file)  # in one step: it may just be read
