"""What a server does not need is not imported: it would stay in memory, and take time at each start."""

import json
import subprocess
import sys

import pytest

LIST_MODULES = """
import json, sys, service.program.start, service.program.cli
from service.program.observation import Observation
from service.program.settings import ServiceSettings
assert Observation(ServiceSettings(), None).observers() == []
print(json.dumps(sorted(sys.modules)))
"""


@pytest.fixture(scope="module")
def modules() -> set[str]:
    listed = subprocess.run([sys.executable, "-c", LIST_MODULES], check=True, capture_output=True, text=True)
    return set(json.loads(listed.stdout))


@pytest.mark.parametrize("name", ["rich", "httpx2", "gateway.sandbox", "gateway.simulation", "gateway.conformance"])
def test_a_server_does_without_what_only_commands_need(modules: set[str], name: str) -> None:
    assert "structlog" in modules
    assert name not in modules


@pytest.mark.parametrize("name", ["prometheus_client", "opentelemetry", "requests"])
def test_a_server_that_tells_nobody_of_itself_does_without(modules: set[str], name: str) -> None:
    assert name not in modules


@pytest.mark.parametrize("name", ["asyncpg", "service.store.postgresql", "cryptography", "grpc_reflection.v1alpha"])
def test_a_server_on_sqlite_without_vault_and_reflection_does_without(modules: set[str], name: str) -> None:
    assert "service.store.sqlite" in modules
    assert name not in modules
