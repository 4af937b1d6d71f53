"""Processes that die at a chosen call of the system, by strace."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.durability.nodes import Node

REACHED_WITHIN_SECONDS = 10.0
# Without --seccomp-bpf, which is faster: with it strace 6.1 injects errors into the calls on a file, but no signals.
STRACE = shutil.which("strace") or ""
needs_strace = pytest.mark.skipif(not STRACE, reason="strace is not installed")


def killed_at_call(node: Node, call: str, file: Path, number: int) -> bool:
    """Start a node that is killed when one of its threads is about to make a call on a file for the nth time.

    Returns:
        Whether it was, in time.
    """
    reaches = node.start(*strace(call, f"signal=SIGKILL:when={number}", file))
    return not reaches or (node.program is not None and node.program.wait(REACHED_WITHIN_SECONDS))


def strace(call: str, injected: str, file: Path, output: Path = Path(os.devnull)) -> list[str]:
    """Return the command line in front of a program that has something injected into a call on a file.

    Args:
        call: its name.
        injected: as strace has it: what, and when.
        file: the only one whose calls count.
        output: gets a line for each of them.
    """
    return [
        STRACE,
        "-f",
        "-qqq",
        "-o",
        str(output),
        "-P",
        str(file),
        f"--trace={call}",
        f"--inject={call}:{injected}",
    ]


def killed_below(pid: int, call: str, number: int) -> bool:
    """Kill the first process below one, now or later, that is about to make a call for the nth time.

    Returns:
        Whether there was one, in time.
    """
    deadline = time.monotonic() + REACHED_WITHIN_SECONDS
    while time.monotonic() < deadline:
        with tempfile.NamedTemporaryFile() as seen:
            command = [STRACE, "-f", "-q", "-o", seen.name, "-p", str(pid), *_children(pid)]
            command += [f"--trace={call}", f"--inject={call}:signal=SIGKILL:when={number}"]
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as tracing:
                was_killed = False
                while not was_killed and time.monotonic() < deadline and tracing.poll() is None:
                    was_killed = "+++ killed by SIGKILL +++" in Path(seen.name).read_text()
                    time.sleep(0.01)
                tracing.send_signal(signal.SIGINT)  # what is left goes on untraced
                _, errors = tracing.communicate(timeout=10)
        if was_killed:
            return True
        if b"not permitted" in errors:
            pytest.skip(f"processes can't be traced here: {errors.decode().strip()}")
        time.sleep(0.05)  # one of the processes had just ended
    return False


def _children(pid: int) -> list[str]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [argument for child in children for argument in ("-p", child)]
