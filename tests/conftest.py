"""Servers that tests share."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.merchant import VAULT, write_config
from tests.postgresql import given_url, postgresql_installation
from tests.running import ANY_PORT, Program, running, service_arguments
from tests.transports import OverGrpc, OverHttp, Transport


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A database on a PostgreSQL server: the one that `SALE_TEST_POSTGRES_URL` names, or one of the tests' own."""
    if (url := given_url()) is not None:
        yield url
        return
    with postgresql_installation() as installation:
        server = installation.create("shared")
        server.start()
        yield server.url()


class Deployment:
    """A server with both of its wires, whatever processes it is made of."""

    def __init__(self, service: Program, gateway: Program) -> None:
        self.service = service
        self.gateway = gateway
        self.http = OverHttp(gateway.client())
        self.channel = service.channel()
        self.grpc = OverGrpc(self.channel)

    def close(self) -> None:
        self.http.client.close()
        self.channel.close()


def deploy(stack: ExitStack, kind: str, folder: Path, extra: str = VAULT) -> Deployment:
    """Start a deployment of one of the kinds of `DEPLOYMENTS`."""
    config, store, log = write_config(folder / "sale.toml", extra), folder / "sale.db", folder / "service.log"
    if kind == "two processes":
        service = stack.enter_context(running(service_arguments(config, store, "--no-http"), log))
        arguments = ["sale-gateway", "serve", f"--config={config}", f"--http={ANY_PORT}", f"--service={service.grpc}"]
        gateway = stack.enter_context(running(arguments, folder / "gateway.log"))
    else:
        more = ["--workers=2"] if kind == "two workers" else []
        service = gateway = stack.enter_context(running(service_arguments(config, store, *more), log))
    deployment = Deployment(service, gateway)
    stack.callback(deployment.close)
    return deployment


DEPLOYMENTS = ("one process", "two processes", "two workers")


@pytest.fixture(scope="session", params=DEPLOYMENTS)
def deployment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A server in each of the forms in which it can be run."""
    with ExitStack() as stack:
        yield deploy(stack, request.param, tmp_path_factory.mktemp(request.param.replace(" ", "-")))


@pytest.fixture(params=["http", "grpc"])
def transport(request: pytest.FixtureRequest, deployment: Deployment) -> Transport:
    """Each of the server's two wires."""
    return deployment.http if request.param == "http" else deployment.grpc
