"""Releases of the server side by side: the one of this source, the next one, and one of before."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

PACKAGES = ("service", "gateway", "generated")
RUN = "from service.program.start import main; main()"
NEXT_STEP = {
    "sqlite": "ALTER TABLE sales ADD COLUMN note TEXT;\nCREATE TABLE notes (note TEXT PRIMARY KEY) STRICT;\n",
    "postgresql": "ALTER TABLE sales ADD COLUMN note text;\nCREATE TABLE notes (note text PRIMARY KEY);\n",
}


class Release:
    """Source that is run in this environment.

    Args:
        source: folder that has the packages.
    """

    def __init__(self, source: Path) -> None:
        paths = (source, source / "generated")
        self.environment = {"PYTHONPATH": os.pathsep.join(map(str, paths))}
        # Without -P the packages of the folder in which the tests run would win.
        self.command = [sys.executable, "-P", "-c", RUN]

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run one of its commands to the end."""
        environment = {**os.environ, **self.environment}
        return subprocess.run(
            [*self.command, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
        )


def this_release() -> Release:
    """Return what is tested."""
    return Release(Path.cwd())


def next_release(folder: Path) -> Release:
    """Return a release with one more step of the schema.

    Args:
        folder: takes its source.
    """
    for package in PACKAGES:
        shutil.copytree(package, folder / package)
    for engine, statements in NEXT_STEP.items():
        steps = folder / "service" / "store" / engine / "migrations"
        number = 1 + max(int(step.name[:4]) for step in steps.glob("*.sql"))
        (steps / f"{number:04}_next.sql").write_text(statements)
    return Release(folder)


def release_of(commit: str, folder: Path) -> Release | None:
    """Return a release of before; None where the clone is too shallow to have it.

    Args:
        commit: of this repository.
        folder: takes its source.
    """
    command: Sequence[str] = ["git", "archive", commit, *PACKAGES]
    archived = subprocess.run(command, capture_output=True, check=False)
    if archived.returncode:
        return None
    with tarfile.open(fileobj=io.BytesIO(archived.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return Release(folder)
