"""The command that asks the service on this host whether it is ready."""

from pathlib import Path
from typing import Any

import click
import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from gateway.program.options import config_option, http_option, one_line_errors
from gateway.program.readiness import PATIENCE_SECONDS, reachable, tell, tell_http
from gateway.program.settings import ConfigurationError, load_settings
from service.program.settings import GrpcSettings, ServiceSettings


@click.command()
@config_option
@http_option
@click.option("--no-http", is_flag=True, help="The JSON gateway is left out: ask the gRPC port.")
@click.option("--grpc", "rpc", metavar="HOST:PORT", help="Where the gRPC port is.  [default: 127.0.0.1:50051]")
@one_line_errors
def ready(config: Path | None, http: str | None, no_http: bool, rpc: str | None) -> None:
    """Ask the server on this host whether it is ready; exit code 0 if it is, 1 if not.

    It is asked as /readyz is, or without the JSON gateway by grpc.health.v1, with the settings of `serve`.
    """
    settings = load_settings(ServiceSettings, config, {"http": {"listen": http}, "grpc": {"listen": rpc}})
    if no_http:
        _tell_grpc(settings.grpc)
    else:
        tell_http(settings.http)


def _tell_grpc(settings: GrpcSettings) -> None:
    if settings.tls_cert is not None:
        raise ConfigurationError("--no-http: a gRPC port with TLS is asked by who has a certificate of its own for it")
    with grpc.insecure_channel(str(reachable(settings.listen))) as channel:
        try:
            health: Any = HealthStub(channel)  # its stubs know no method
            answer = health.Check(HealthCheckRequest(), timeout=PATIENCE_SECONDS)
        except grpc.RpcError as error:
            tell(f"grpc.listen: {settings.listen} can't be asked: {error.details()}")
        else:
            is_serving = answer.status == HealthCheckResponse.SERVING
            tell("" if is_serving else HealthCheckResponse.ServingStatus.Name(answer.status))
