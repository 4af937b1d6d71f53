"""The stubs can be installed by themselves: a caller needs neither the server nor protoc, and has types."""

import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.merchant import CALLER_KEY, write_config
from tests.running import Program, running, service_arguments

NEEDED = ("grpc", "grpc-stubs", "google", "google-stubs", "typing_extensions.py")
"""What pip would bring: taken from this environment, so that nothing is fetched."""
CLIENT = """
import sys

import grpc
from connectingparty.sale.v1.access_token_service_pb2 import RequestAccessTokenRequest, RequestAccessTokenResponse
from connectingparty.sale.v1.access_token_service_pb2_grpc import AccessTokenServiceStub


def request(target: str, key: str) -> RequestAccessTokenResponse:
    with grpc.insecure_channel(target) as channel:
        stub = AccessTokenServiceStub(channel)
        metadata = (("authorization", f"Bearer {key}"),)
        return stub.RequestAccessToken(RequestAccessTokenRequest(), timeout=5, metadata=metadata)


if __name__ == "__main__":
    print(request(*sys.argv[1:]).session.access_token)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, f"--wheel-dir={folder}", "./generated"], check=True)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the stubs, what they depend on, and no server."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    packages = Path(*folder.glob("lib/python*/site-packages"))
    installed = Path(*{Path(path) for path in sys.path if path.endswith("site-packages")})
    for name in NEEDED:
        (packages / name).symlink_to(installed / name)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, str(wheel)], check=True)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("server")
    config = write_config(folder / "sale.toml")
    with running(service_arguments(config, f"sqlite:///{folder / 'sale.db'}", "--no-http"), folder / "log") as program:
        yield program


def test_the_stubs_have_the_servers_version_and_name_only_what_they_import(wheel: Path) -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    stubs = tomllib.loads(Path("generated/pyproject.toml").read_text())["project"]

    assert wheel.name.split("-")[1] == project["version"] == stubs["version"]
    assert set(stubs["dependencies"]) <= set(project["dependencies"])


def test_a_caller_without_the_server_reaches_one(python: Path, server: Program, tmp_path: Path) -> None:
    (tmp_path / "client.py").write_text(CLIENT)
    absent = subprocess.run([python, "-c", "import service"], capture_output=True, cwd=tmp_path, check=False)
    assert absent.returncode == 1

    called = subprocess.run(
        [python, "client.py", str(server.grpc), CALLER_KEY], capture_output=True, text=True, cwd=tmp_path, check=True
    )

    assert len(called.stdout.strip()) >= 16


def test_a_caller_is_checked_by_types(python: Path, tmp_path: Path) -> None:
    (tmp_path / "client.py").write_text(CLIENT)
    (tmp_path / "wrong.py").write_text(CLIENT.replace(".access_token)", ".acces_token)"))
    mypy = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python), "--no-error-summary"]

    done = subprocess.run([*mypy, "client.py", "wrong.py"], capture_output=True, text=True, cwd=tmp_path, check=False)

    (fault,) = done.stdout.splitlines()
    assert fault.startswith("wrong.py:")
    assert 'has no attribute "acces_token"; maybe "access_token"?' in fault
