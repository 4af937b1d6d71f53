"""What the figures were measured with and on."""

import platform
import subprocess
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import apsw

from tests.bench.results import CORES
from tests.postgresql import postgresql_installation
from tests.running import PROGRAMS

_PACKAGES = (
    "grpcio",
    "protobuf",
    "protovalidate",
    "uvicorn",
    "uvloop",
    "httptools",
    "starlette",
    "fastapi",
    "pydantic",
    "asyncpg",
)


def surroundings(arguments: Sequence[str]) -> dict[str, str]:
    """Return the versions of everything, the date, the machine and the command."""
    return {
        "command": " ".join(["python -m tests.bench", *arguments]),
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "cores": str(CORES),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "files on": _file_system(Path(tempfile.gettempdir())),
        "Python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
        "SQLite": f"{apsw.sqlite_lib_version()} (apsw {version('apsw')})",
        "PostgreSQL": _postgresql_version(),
        "Envoy": _told(str(PROGRAMS / "envoy"), "--version").split("version:")[1].split("/")[1],
        "wrk": _told("wrk", "-v").split()[1],
    }


def _postgresql_version() -> str:
    with postgresql_installation() as installation:
        return installation.run("postgres", "--version").split()[-1]


def _file_system(folder: Path) -> str:
    """Return of which kind the file system of a folder is: on tmpfs, say, what is durable costs nothing."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    _, kind = max((len(place), kind) for place, kind in mounts if folder.resolve().is_relative_to(place))
    return kind


def _told(*command: str) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)  # wrk ends with 1 after its version
    return ended.stdout + ended.stderr
