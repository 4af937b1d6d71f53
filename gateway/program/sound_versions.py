"""Refusing to start on what is known to be unsound of that which reads bytes from anybody.

Listed is only what does so here and comes with a package, whose version tells what is in it. Not h11: httptools parses
every request. Not Python and its OpenSSL: distributions mend them under the old version number. SQLite is checked where
a file is opened, and the generated code refuses a gRPC and a protobuf older than those that it was made with.
"""

from importlib.metadata import version
from typing import NamedTuple

from gateway.program.settings import ConfigurationError


class Unsound(NamedTuple):
    """Versions of a package that are known to be unsound."""

    package: str
    before: tuple[int, ...]
    """The first version that is not."""
    reason: str


UNSOUND = (
    Unsound("httptools", (0, 6, 3), "CVE-2024-27982: its llhttp lets a request be smuggled behind another one"),
    Unsound("uvicorn", (0, 11, 7), "CVE-2020-7695: what a request holds could split the headers of its answer"),
)


def require_sound_versions() -> None:
    """Refuse to run on a version that is known to be unsound.

    Raises:
        ConfigurationError: it is one; the message names the package and the reason.
    """
    for package, before, reason in UNSOUND:
        found = version(package)
        if _numbers(found) < before:
            needed = ".".join(map(str, before))
            raise ConfigurationError(f"{package} {found} is not sound, {needed} or newer is needed ({reason})")


def _numbers(text: str) -> tuple[int, ...]:
    # As in 0.6.3 and 0.6.3rc1: what follows the first part that is no number does not count.
    numbers = []
    for part in text.split("."):
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return tuple(numbers)
