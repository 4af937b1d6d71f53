"""Where `sale-gateway` begins: it imports everything without looking for garbage in it."""

import gc
import os


def main() -> None:
    """Run the command line."""
    # Anybody who begins a TLS handshake wrongly could write lines of gRPC's own into the log.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    gc.disable()
    # Nearly all that an import makes stays. To look for garbage in it, now and again later, was a sixth of a start.
    from gateway.program.cli import main as run  # noqa: PLC0415

    gc.freeze()
    gc.enable()
    run()
