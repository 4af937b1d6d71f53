"""The command `sale-gateway`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import structlog

from gateway.program.config import config_commands
from gateway.program.file_checks import suspicious_files, warn
from gateway.program.http_ports import bind_http
from gateway.program.lazy_commands import LazyCommands
from gateway.program.listening import require_sound_listeners
from gateway.program.logs import configure_logs
from gateway.program.metrics_port import addresses_of, bind_metrics
from gateway.program.options import (
    DISTRIBUTION,
    config_option,
    http_option,
    metrics_option,
    one_line_errors,
    workers_option,
)
from gateway.program.reloading import SettingsSource
from gateway.program.serve import serve as serve_process
from gateway.program.settings import GatewaySettings, load_settings
from gateway.program.sound_versions import require_sound_versions
from gateway.program.telemetry import require_tracing
from gateway.program.workers import supervise

_log = structlog.stdlib.get_logger(__name__)


_LATER = {
    "ready": "gateway.program.readiness:ready",
    "sandbox": "gateway.program.sandbox:sandbox",
    "simulate": "gateway.program.simulate:simulate",
    "verify": "gateway.program.verify:verify",
}


@click.group(cls=LazyCommands, later=_LATER, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=DISTRIBUTION)
def main() -> None:
    """The JSON gateway of the Connecting Party's server: documented JSON over HTTP in, gRPC out."""


@main.command()
@config_option
@http_option
@click.option("--service", metavar="HOST:PORT", help="gRPC port of the service.  [default: 127.0.0.1:50051]")
@metrics_option
@workers_option
@one_line_errors
def serve(config: Path | None, http: str | None, service: str | None, metrics: str | None, workers: int | None) -> None:
    """Serve the JSON API in front of a service that runs elsewhere.

    SIGHUP reads the certificates again. Stops on SIGTERM or Ctrl-C once the requests that run are answered. Exit code 0
    is a clean stop, 1 a worker that had to be killed, 2 a wrong option or setting.
    """
    flags: dict[str, Any] = {
        "http": {"listen": http, "service": service},
        "metrics": {"listen": metrics},
        "workers": workers,
    }
    require_sound_versions()
    source = SettingsSource(config, flags)
    settings = load_settings(GatewaySettings, *source)
    require_sound_listeners({**settings.http.listeners(), **settings.listeners()})
    require_tracing(settings)
    configure_logs()
    sockets = bind_http(settings.http)
    with bind_metrics(settings) as place:

        def on_ready() -> None:
            warn(suspicious_files(settings, config, datetime.now(UTC)))
            addresses = {**sockets.addresses(), **addresses_of(place)}
            _log.info("serving", **addresses, service=str(settings.http.service), workers=settings.workers)

        if settings.workers == 1:
            serve_process(settings, source, sockets, place, on_ready)
        else:
            supervise(
                settings.workers,
                serve_process,
                (settings, source, sockets, place),
                on_ready=on_ready,
                grace_seconds=settings.shutdown_grace.total_seconds(),
            )


main.add_command(
    config_commands(
        GatewaySettings,
        {
            "--http": "http.listen",
            "--service": "http.service",
            "--metrics": "metrics.listen",
            "--workers": "workers",
        },
    )
)
