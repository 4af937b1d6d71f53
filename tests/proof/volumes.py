"""File systems of their own, in a file each, that can lose their power."""

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

KINDS = ("ext4", "xfs")
_BYTES = 400 * 1024 * 1024
# What `xfs_io -x -c shutdown` calls, on ext4 as on XFS: nothing is written any more, not even the journal in memory.
_SHUTDOWN = 0x8004587D
_WITHOUT_JOURNAL = 2


class Volume:
    """A file system that is mounted; `new_volume` makes one.

    Args:
        image: the file that it is in.
        folder: where it is mounted.
    """

    def __init__(self, image: Path, folder: Path) -> None:
        self._image = image
        self.folder = folder

    def mount(self) -> None:
        subprocess.run(["mount", "-o", "loop", str(self._image), str(self.folder)], check=True, capture_output=True)

    def cut_power(self) -> None:
        """Lose all that was not given to the disk, and take nothing more; who writes or syncs gets an error."""
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, _SHUTDOWN, struct.pack("I", _WITHOUT_JOURNAL))
        finally:
            os.close(folder)

    def unmount(self) -> None:
        """Let go of it; no process may use it any more."""
        subprocess.run(["umount", str(self.folder)], check=True, capture_output=True)


@contextmanager
def new_volume(folder: Path, kind: str) -> Iterator[Volume]:
    """Make and mount a file system, one of `KINDS`, for as long as the block runs; skip the test where none can be."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    if shutil.which(f"mkfs.{kind}") is None:
        pytest.skip(f"mkfs.{kind} is not installed (e2fsprogs, xfsprogs)")
    image = folder / f"{kind}.img"
    with image.open("wb") as file:
        file.truncate(_BYTES)
    subprocess.run([f"mkfs.{kind}", "-q", str(image)], check=True, capture_output=True)
    volume = Volume(image, folder / kind)
    volume.folder.mkdir()
    try:
        volume.mount()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no file system can be mounted here: {error.stderr.decode().strip()}")
    try:
        yield volume
    finally:
        with suppress(subprocess.CalledProcessError):  # it may be unmounted
            volume.unmount()
