"""Where `sale-service` begins, as `sale-gateway` does."""

from gateway.program.start import run_program


def main() -> None:
    """Run the command line."""
    run_program("service.program.cli")
