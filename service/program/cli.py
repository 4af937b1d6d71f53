"""The command `sale-service`."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
import structlog

from gateway.program.config import config_commands
from gateway.program.file_checks import warn
from gateway.program.http_ports import HttpSockets, bind_http
from gateway.program.lazy_commands import LazyCommands
from gateway.program.listening import bind, bound_address, require_sound_listeners
from gateway.program.logs import configure_logs
from gateway.program.metrics_port import MetricsPlace, addresses_of, bind_metrics
from gateway.program.options import (
    DISTRIBUTION,
    config_option,
    http_option,
    metrics_option,
    one_line_errors,
    workers_option,
)
from gateway.program.reloading import SettingsSource
from gateway.program.settings import ConfigurationError, load_settings
from gateway.program.sound_versions import require_sound_versions
from gateway.program.telemetry import require_tracing
from gateway.program.values import Address
from gateway.program.workers import supervise
from service.call_log import known_of_call
from service.identifiers import utc_now
from service.program import maintenance
from service.program.audit import audit
from service.program.checks import suspicious_settings
from service.program.development import any_ports_named, banner, with_development_defaults
from service.program.filter_settings import sale_limits_of, slowness_of
from service.program.new_key import new_key
from service.program.serve import serve as serve_process
from service.program.serve import serve_worker
from service.program.settings import ServiceSettings, callers_of, endpoints_of, vault_keys_of

_log = structlog.stdlib.get_logger(__name__)
_LATER = {
    "backup": "service.program.backup:backup",
    "cards": "service.program.cards:cards",
    "copy": "service.program.copy:copy",
    "deployment": "service.program.deployment:deployment",
    "doctor": "service.program.doctor:doctor",
    "endpoints": "service.program.endpoints:endpoints",
    "explain": "service.program.explain:explain",
    "ready": "service.program.readiness:ready",
    "sales": "service.program.sales:sales",
    "sign": "service.program.sign:sign",
    "tokens": "service.program.tokens:tokens",
}
"""Commands whose imports a server would keep in memory, by where they are."""


@click.group(cls=LazyCommands, later=_LATER, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=DISTRIBUTION)
def main() -> None:
    """The Connecting Party's server: sessions and signatures of sales, over gRPC and documented JSON."""


@main.command()
@config_option
@click.option("--dev", is_flag=True, help="Need no configuration: a test endpoint, data under var/, loopback only.")
@http_option
@click.option("--no-http", is_flag=True, help="Leave the JSON gateway out; run sale-gateway in front.")
@click.option("--grpc", metavar="HOST:PORT", help="Where the gRPC port is.  [default: 127.0.0.1:50051]")
@metrics_option
@maintenance.store_option
@workers_option
@click.option(
    "--sandbox", metavar="HOST:PORT", help="With --dev: where the sandbox is.  [default: 127.0.0.1:8090 if it is free]"
)
@click.option("--no-sandbox", is_flag=True, help="With --dev: leave the sandbox payment gateway out.")
@one_line_errors
def serve(
    config: Path | None,
    dev: bool,
    http: str | None,
    no_http: bool,
    grpc: str | None,
    metrics: str | None,
    store: str | None,
    workers: int | None,
    sandbox: str | None,
    no_sandbox: bool,
) -> None:
    """Serve the gRPC port and, in the same process, the JSON gateway.

    SIGHUP reads the endpoints, limits, callers, certificates and keys again. Stops on SIGTERM or Ctrl-C once the
    requests that run are answered. Exit code 0 is a clean stop, 1 a store or a worker that failed:
    start it again; 2 a wrong option or setting.
    """
    flags: dict[str, Any] = {
        "http": {"listen": http},
        "grpc": {"listen": grpc},
        "metrics": {"listen": metrics},
        "store": {"url": store},
        "workers": workers,
    }
    require_sound_versions()
    if sandbox is not None and not dev:
        raise ConfigurationError("--sandbox: is for trying, with --dev only")
    source = SettingsSource(config, flags)
    settings = load_settings(ServiceSettings, *source)
    may_be_elsewhere = dev and settings.metrics is None  # nobody has asked for that port
    if dev:
        settings = with_development_defaults(settings)
    require_sound_listeners(
        {**({} if no_http else settings.http.listeners()), "grpc": settings.grpc, **settings.listeners()}
    )
    endpoints = endpoints_of(settings.endpoints)
    sale_limits_of(settings.sale_limits, {endpoint.id for endpoint in endpoints})
    slowness_of(settings.guesses, settings.http.limits.in_flight)
    vault_keys_of(settings.vault)
    callers_of(settings)
    require_tracing(settings)
    configure_logs(known_of_call)
    with any_ports_named() if dev else nullcontext():
        bind(settings.grpc.listen, "grpc.listen").close()  # gRPC itself would tell in many lines, or share the port
        sockets = None if no_http else bind_http(settings.http)
    beside = None
    if dev and sockets is not None and not no_sandbox:
        from service.program.sandbox import open_sandbox  # noqa: PLC0415  # a server without it does not load it

        beside = open_sandbox(settings, endpoints, sockets, sandbox)

    with bind_metrics(settings, may_be_elsewhere=may_be_elsewhere) as place:

        def on_ready(grpc_address: Address) -> None:
            addresses = {**({} if sockets is None else sockets.addresses()), **addresses_of(place)}
            warn(suspicious_settings(settings, config, utc_now(), serves_http=not no_http))
            _log.info("serving", **addresses, grpc=str(grpc_address), workers=settings.workers)
            if beside is not None:
                beside.start()
            if dev:
                sandbox_address = None if beside is None else beside.address
                metrics_address = addresses["metrics"]
                click.echo(banner(settings, addresses.get("http"), grpc_address, sandbox_address, metrics_address))

        _run(settings, source, sockets, place, on_ready)


def _run(
    settings: ServiceSettings,
    source: SettingsSource,
    sockets: HttpSockets | None,
    place: MetricsPlace | None,
    on_ready: Callable[[Address], None],
) -> None:
    """Serve, in this process or in workers, until it is told to stop."""
    if settings.workers == 1:
        serve_process(settings, source, sockets, place, settings.grpc.listen, on_ready)
        return
    # Bound without listening, it keeps the port for the workers, who listen on it side by side.
    with bind(settings.grpc.listen, "grpc.listen", reuse_port=True) as reserved:
        grpc_address = bound_address(reserved)
        supervise(
            settings.workers,
            serve_worker,
            (settings, source, sockets, place, grpc_address),
            on_ready=lambda: on_ready(grpc_address),
            grace_seconds=settings.shutdown_grace.total_seconds(),
        )


config_group = config_commands(
    ServiceSettings,
    {
        "--http": "http.listen",
        "--grpc": "grpc.listen",
        "--metrics": "metrics.listen",
        "--store": "store.url",
        "--workers": "workers",
    },
)
for command in (
    maintenance.migrate,
    maintenance.purge,
    maintenance.reencrypt_cards,
    maintenance.export,
    audit,
    config_group,
    new_key,
):
    main.add_command(command)
