"""Servers that tests share."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.merchant import PROVIDERS, RANDOM_SUM, VAULT, Provider, write_config
from tests.postgresql import given_url, postgresql_server
from tests.running import ANY_PORT, Program, channel_to, client_of, running, service_arguments
from tests.stores import schema
from tests.transports import OverGrpc, OverHttp, Transport


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Run three tests at a time, for many wait; one where they take minutes and measure."""
    return 3 if config.option.markexpr == "not long" else 0


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The event loop of asynchronous tests."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
async def one_event_loop(anyio_backend: str) -> AsyncIterator[None]:
    """Keep one for all of them: grpc.aio tells of what was begun in a loop when that has long been closed."""
    yield  # noqa: PT022  # until here


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A database on a PostgreSQL server: the one that `SALE_TEST_POSTGRES_URL` names, or one of the tests' own."""
    if (url := given_url()) is not None:
        yield url
        return
    with postgresql_server("shared") as server:
        yield server.url()


class Deployment:
    """A server with both of its wires, whatever processes it is made of; its clients take the nodes in turn."""

    def __init__(self, services: Sequence[Program], gateways: Sequence[Program]) -> None:
        self.programs = list(dict.fromkeys([*services, *gateways]))
        self.service = services[0]
        self.gateway = gateways[0]
        self.http = OverHttp(client_of(gateways))
        self.channel = channel_to(services)
        self.grpc = OverGrpc(self.channel)

    def close(self) -> None:
        self.http.client.close()
        self.channel.close()


def deploy(
    stack: ExitStack,
    kind: str,
    folder: Path,
    extra: str = VAULT,
    store: str | None = None,
    providers: Iterable[Provider] = (*PROVIDERS, RANDOM_SUM),
    environment: Mapping[str, str] | None = None,
) -> Deployment:
    """Start a deployment.

    Args:
        stack: ends it.
        kind: one of `DEPLOYMENTS`, or "three nodes".
        folder: takes its files.
        extra: more settings.
        store: URL of the store; an SQLite file if there is none.
        providers: its endpoints.
        environment: variables that its programs get.
    """
    config, store = write_config(folder / "sale.toml", extra, providers), store or f"sqlite:///{folder / 'sale.db'}"

    def run(name: str, *more: str) -> Program:
        arguments = service_arguments(config, store, *more)
        return stack.enter_context(running(arguments, folder / f"{name}.log", environment=environment))

    if kind == "two processes":
        service = run("service", "--no-http")
        arguments = ["sale-gateway", "serve", f"--config={config}", f"--http={ANY_PORT}", f"--service={service.grpc}"]
        services, gateways = (
            [service],
            [stack.enter_context(running(arguments, folder / "gateway.log", environment=environment))],
        )
    elif kind == "three nodes":
        services = gateways = [run(f"service-{number}") for number in range(3)]
    else:
        services = gateways = [run("service", *(["--workers=2"] if kind == "two workers" else []))]
    deployment = Deployment(services, gateways)
    stack.callback(deployment.close)
    return deployment


DEPLOYMENTS = ("one process", "two processes", "two workers")


@pytest.fixture(scope="session", params=[*DEPLOYMENTS, "three nodes"])
def deployment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A server in each of the forms in which it can be run: on SQLite, and as several nodes on PostgreSQL."""
    with ExitStack() as stack:
        store = None
        if request.param == "three nodes":
            store = stack.enter_context(schema(request.getfixturevalue("postgresql_url")))
        yield deploy(stack, request.param, tmp_path_factory.mktemp(request.param.replace(" ", "-")), store=store)


@pytest.fixture(params=["http", "grpc"])
def transport(request: pytest.FixtureRequest, deployment: Deployment) -> Transport:
    """Each of the server's two wires."""
    return deployment.http if request.param == "http" else deployment.grpc
