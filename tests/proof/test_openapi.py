"""The server does what its reference says: whatever is sent, the answer is one that the reference has."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from tests.conftest import Deployment, deploy
from tests.merchant import PROVIDERS, RANDOM_SUM
from tests.proof import openapi_hooks
from tests.running import PROGRAMS

SEED = "6"
FAILURES_SHOWN = "50"
SETTINGS = """
[checks.negative_data_rejection]
expected-statuses = [400, 404, 409, 413, 415, 422]
"""
"""A query of too many parameters is a query that is too long, too."""


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with ExitStack() as stack:
        yield deploy(stack, "one process", tmp_path_factory.mktemp("openapi"))


def test_the_reference_is_valid_openapi(deployment: Deployment) -> None:
    response = deployment.http.client.get("/openapi.json")

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    validate(response.json(), cls=OpenAPIV31SpecValidator)


@pytest.mark.parametrize(
    ("phases", "examples"),
    [
        ("coverage,fuzzing", 50),
        ("stateful", 10),
        pytest.param("coverage,fuzzing", 100_000, marks=pytest.mark.long),
        pytest.param("stateful", 20_000, marks=pytest.mark.long),
    ],
)
def test_the_server_keeps_to_its_reference(
    tmp_path: Path, one_process: Deployment, phases: str, examples: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(reference_of(one_process)))
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    command = [
        str(PROGRAMS / "schemathesis"),
        "run",
        str(path),
        f"--url=http://{one_process.gateway.http}",
        "--checks=all",
        f"--phases={phases}",
        f"--max-examples={examples}",
        f"--seed={SEED}",
        "--generation-database=none",
        "--continue-on-failure",
        f"--max-failures={FAILURES_SHOWN}",
        "--no-color",
    ]

    environment = {**os.environ, "SCHEMATHESIS_HOOKS": openapi_hooks.__name__, "PYTHONPATH": str(Path.cwd())}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)

    with capsys.disabled():
        print(f"\n{phases}: {counts_in(run.stdout)}")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "generated" in counts_in(run.stdout)


def reference_of(deployment: Deployment) -> dict[str, object]:
    """Return the reference, with what only this merchant knows: which currencies its endpoints take."""
    reference = deployment.http.client.get("/openapi.json").json()
    transaction = reference["components"]["schemas"]["InitiateSaleRequest.Transaction"]["properties"]
    transaction["currency"]["enum"] = [provider.currency for provider in (*PROVIDERS, RANDOM_SUM)]
    return dict(reference)


def counts_in(output: str) -> str:
    found = re.search(r"Test cases:\s+(.*)", output)
    return found[1] if found else "no test cases"
