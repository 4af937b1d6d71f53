"""Lines of the log go out together, and none is lost on the way."""

import asyncio
import os
from collections.abc import Iterator

import pytest

from gateway.program.line_writer import LineWriter

pytestmark = pytest.mark.anyio
SOON = 0.05


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    yield reader, writer
    os.close(reader)
    os.close(writer)


def read(reader: int) -> bytes:
    try:
        return os.read(reader, 1_000_000)
    except BlockingIOError:
        return b""


async def test_lines_wait_for_others_and_keep_their_order(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    log = LineWriter(writer)
    for number in range(3):
        log.info(b"%d" % number)
    assert read(reader) == b""

    await asyncio.sleep(SOON)
    assert read(reader) == b"0\n1\n2\n"

    log.info(b"3")
    await asyncio.sleep(SOON)
    assert read(reader) == b"3\n"


async def test_an_error_goes_out_at_once_after_what_waits(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    log = LineWriter(writer)
    log.info(b"before")
    log.error(b"fault")

    assert read(reader) == b"before\nfault\n"
    await asyncio.sleep(SOON)
    assert read(reader) == b""


def test_without_an_event_loop_nothing_waits(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    LineWriter(writer).info(b"line")

    assert read(reader) == b"line\n"


async def test_what_is_written_together_fits_into_a_pipe_at_once(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[bytes] = []

    def write(descriptor: int, data: bytes) -> int:
        writes.append(data)
        return len(data)

    monkeypatch.setattr(os, "write", write)
    log = LineWriter(pipe[1])
    lines = [b"x" * size for size in (1, 4094, 4095, 5000, 2000, 2094, 2095, 1)]
    for line in lines:
        log.info(line)
    await asyncio.sleep(SOON)
    monkeypatch.undo()

    assert b"".join(writes) == b"\n".join(lines) + b"\n"
    assert all(len(data) <= 4096 or data.count(b"\n") == 1 for data in writes)
