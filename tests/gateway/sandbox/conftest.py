"""A real server in development mode, and sandboxes in front of it that are quicker than its own."""

from collections.abc import AsyncIterator, Iterator, Sequence

import grpc
import pytest
from connectingparty.sale.v1.sale_service_pb2_grpc import SaleServiceStub
from structlog.testing import capture_logs
from structlog.types import EventDict

from gateway.parties.consumer_app import ConsumerApp
from gateway.parties.exchanges import Peer
from tests.running import ANY_PORT, Program, running
from tests.sandboxes import begin_sandbox


@pytest.fixture(scope="module", autouse=True)
def logged() -> Iterator[Sequence[EventDict]]:
    """What the sandboxes log."""
    with capture_logs() as entries:
        yield entries


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("sandbox")
    arguments = [
        "--dev",
        "--no-sandbox",
        f"--http={ANY_PORT}",
        f"--grpc={ANY_PORT}",
        f"--store=sqlite:///{folder}/sale.db",
    ]
    with running(["sale-service", "serve", *arguments], folder / "log") as program:
        yield program


@pytest.fixture(scope="module")
def sales(server: Program) -> Iterator[SaleServiceStub]:
    """What the merchant's own systems see."""
    with grpc.insecure_channel(str(server.grpc)) as channel:
        yield SaleServiceStub(channel)


@pytest.fixture(scope="module")
def sandbox(server: Program) -> Iterator[str]:
    """Base URL of a sandbox."""
    thread = begin_sandbox(f"http://{server.http}")
    yield f"http://{thread.address}"
    thread.stop()


@pytest.fixture
async def app(server: Program, sandbox: str) -> AsyncIterator[ConsumerApp]:
    """A consumer's app."""
    async with Peer(f"http://{server.http}") as merchant, Peer(sandbox) as gateway:
        yield ConsumerApp(merchant, gateway, "R58M123ABC")
