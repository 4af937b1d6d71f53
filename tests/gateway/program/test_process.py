"""A process serves until it is told to stop, and reads its settings again whenever it is told to."""

import subprocess
import sys

SERVER = """
import asyncio, os, signal, sys
from functools import partial
from gateway.program.process import run_server

tell = partial(print, file=sys.stderr)  # the log is on the other one


class Server:
    async def start(self):
        tell("started")

    async def wait_until_failed(self):
        await asyncio.Event().wait()

    async def stop(self):
        tell("stopped")

    def reload(self):
        tell("reloaded")
        os.kill(os.getpid(), signal.SIGTERM)


async def create():
    os.kill(os.getpid(), signal.SIGHUP)
    await asyncio.sleep(0.1)
    tell("created")
    return Server()


run_server(create, lambda server: tell("ready"))
"""


def test_who_reloads_a_server_that_still_starts_does_not_end_it() -> None:
    done = subprocess.run([sys.executable, "-c", SERVER], capture_output=True, text=True, check=True)

    assert done.stderr.split() == ["created", "started", "ready", "reloaded", "stopped"]
