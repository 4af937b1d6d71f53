"""Clients in other languages, from the proto as it is: each initiates a sale, and learns why another one is refused."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.merchant import CALLER_KEY, write_config
from tests.running import PROGRAMS, Program, running, service_arguments

CLIENTS = Path(__file__).parent
SALE = re.compile(r"[0-9a-f-]{36} [0-9a-f]{64} [0-9A-F]{40}")
ENVIRONMENT = {**os.environ, "KEY": CALLER_KEY, "PATH": f"{PROGRAMS}:{os.environ['PATH']}"}
FAULT = "transaction.amountCentis must be greater than 0"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("server")
    config = write_config(folder / "sale.toml", "[grpc]\nreflection = true\n")
    with running(service_arguments(config, f"sqlite:///{folder / 'sale.db'}", "--no-http"), folder / "log") as program:
        yield program


def needs(program: str, package: str) -> pytest.MarkDecorator:
    """Skip a test where a program is missing; not in CI, whose machine is made to have it."""
    is_missing = shutil.which(program) is None and "CI" not in os.environ
    return pytest.mark.skipif(is_missing, reason=f"{program} is not installed: {package}")


def run(folder: Path, *command: str) -> list[str]:
    """Return the lines that a command of a client's folder prints."""
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return re.sub(r"\x1b\[\d*m", "", done.stdout).split("\n")[:-1]  # Maven colours even what is no terminal


def project(folder: Path, language: str) -> Path:
    """Return a copy of a client's folder with the proto as it is: what its tools write stays out of the repository."""
    copy = folder / language
    shutil.copytree(CLIENTS / language, copy)
    subprocess.run([sys.executable, "proto/generate.py", "--image", str(copy / "image.binpb")], check=True)
    return copy


def assert_sold_and_refused(lines: list[str]) -> None:
    sale, refusal, violation = filter(None, lines)
    assert SALE.fullmatch(sale)
    assert re.match(rf"(?i)invalid_?argument 1001 {FAULT}", refusal)
    assert violation.startswith(FAULT)


def test_python(server: Program) -> None:
    assert_sold_and_refused(run(CLIENTS, sys.executable, "python/sale.py", str(server.grpc)))


def test_python_with_many_calls_at_once(server: Program) -> None:
    *sales, last, refusal, violation = run(CLIENTS, sys.executable, "python/sale_async.py", str(server.grpc))

    assert_sold_and_refused([last, refusal, violation])
    sales.append(last)
    assert len(sales) == len(set(sales)) == 10
    assert all(map(SALE.fullmatch, sales))


@needs("npm", "make needs-node")
def test_typescript(server: Program, tmp_path: Path) -> None:
    folder = project(tmp_path, "typescript")
    run(folder, "npm", "ci", "--prefer-offline", "--no-audit", "--no-fund")
    run(folder, "buf", "generate", "image.binpb")
    run(folder, "npx", "tsc")

    assert_sold_and_refused(run(folder, "node", "out/sale.js", f"http://{server.grpc}"))


@pytest.mark.long
@needs("go", "apt-get install golang")
def test_go(server: Program, tmp_path: Path) -> None:
    folder = project(tmp_path, "go")
    run(folder, "buf", "generate", "image.binpb", "--path", "connectingparty")

    assert_sold_and_refused(run(folder, "go", "run", ".", str(server.grpc)))


@pytest.mark.long
@needs("mvn", "apt-get install maven")
def test_java(server: Program, tmp_path: Path) -> None:
    folder = project(tmp_path, "java")

    printed = run(folder, "mvn", "-q", "-B", "compile", "exec:java", f"-Dexec.args={server.grpc}")

    assert_sold_and_refused(printed)


def assert_sold_and_refused_in_a_shell(script: str, target: str) -> None:
    command = ["sh", f"shell/{script}", target]
    done = subprocess.run(command, cwd=CLIENTS, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert re.search(r'"signature": *"[0-9A-F]{40}"', done.stdout)
    assert FAULT in done.stdout
    assert done.returncode == 0, done.stderr


def test_a_shell_client_fails_where_it_meets_no_server() -> None:
    command = ["sh", "shell/buf.sh", "http://127.0.0.1:1"]
    done = subprocess.run(command, cwd=CLIENTS, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode != 0


def test_a_shell_with_buf(server: Program) -> None:
    assert_sold_and_refused_in_a_shell("buf.sh", f"http://{server.grpc}")


@pytest.mark.long
@needs("grpcurl", "go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest")
def test_a_shell_with_grpcurl(server: Program) -> None:
    assert_sold_and_refused_in_a_shell("grpcurl.sh", str(server.grpc))
