"""Where `sale-gateway` begins: it imports everything without looking for garbage in it."""

import gc
import os
from importlib import import_module


def run_program(module: str) -> None:
    """Import a program, and run its command line.

    Args:
        module: that has it, as `main`.
    """
    # Anybody who begins a TLS handshake wrongly could write lines of gRPC's own into the log.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    gc.disable()
    # Nearly all that an import makes stays. To look for garbage in it, now and again later, was a sixth of a start.
    program = import_module(module)
    gc.freeze()
    gc.enable()
    program.main()


def main() -> None:
    """Run the command line."""
    run_program("gateway.program.cli")
