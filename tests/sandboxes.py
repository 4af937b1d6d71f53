"""Sandboxes that are quicker than those that people try with."""

import socket

from gateway.parties.development import CONTROL_KEY, ENDPOINT_ID
from gateway.sandbox.callbacks import Schedule
from gateway.sandbox.server import SandboxServer
from gateway.sandbox.thread import SandboxThread

QUICK = Schedule(
    charge_seconds=0.01, slow_seconds=0.3, redirect_seconds=0.5, silence_seconds=1.0, retry_seconds=0.02, retries=5
)


def begin_sandbox(target: str, schedule: Schedule = QUICK) -> SandboxThread:
    """Start a sandbox on a port of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    host, port = listener.getsockname()
    keys = {ENDPOINT_ID: [CONTROL_KEY]}
    thread = SandboxThread(
        f"{host}:{port}", lambda: SandboxServer(listener, target, keys, schedule, timeout_seconds=5.0)
    )
    thread.start()
    return thread
