"""The commands tell what they are, and what is wrong with a setting."""

import shlex
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.program.cli import main as gateway_commands
from service.program.cli import main as service_commands
from tests.merchant import write_config
from tests.running import PROGRAMS, running

COMMANDS = {"sale-service": service_commands, "sale-gateway": gateway_commands}


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [str(PROGRAMS / arguments[0]), *arguments[1:]]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def taken() -> Iterator[str]:
    """An address that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield f"127.0.0.1:{other.getsockname()[1]}"


@pytest.mark.parametrize("program", ["sale-service", "sale-gateway"])
def test_help_and_version_are_told(program: str) -> None:
    assert run(program, "--version").stdout == f"{program}, version 0.1.0\n"
    told = run(program, "serve", "--help")
    assert told.returncode == 0
    for option in ("--config", "--http", "--workers"):
        assert option in told.stdout


def wrong(*arguments: str) -> str:
    """Return the one line in which a command says what is wrong."""
    done = run(*arguments)
    assert done.returncode == 2
    return one_line(done.stdout, done.stderr)


def wrong_setting(*arguments: str) -> str:
    """Do the same in this process, before there is a log: a start costs most of a second."""
    done = CliRunner().invoke(COMMANDS[arguments[0]], arguments[1:])
    assert done.exit_code == 2
    return one_line(done.stdout, done.stderr)


def one_line(stdout: str, stderr: str) -> str:
    assert stdout == ""
    (line,) = stderr.splitlines()
    return line.removeprefix("Error: ")


def test_a_wrong_setting_is_told_in_one_line(tmp_path: Path) -> None:
    config = str(write_config(tmp_path / "sale.toml"))

    assert wrong_setting("sale-service", "serve").startswith("endpoints: ")
    assert wrong_setting("sale-service", "serve", "--config", "/no/such").startswith("--config: ")
    assert wrong_setting("sale-service", "serve", "--config", config, "--http", "x").startswith("http.listen: ")
    assert wrong_setting("sale-service", "serve", "--config", config, "--workers", "0").startswith("workers: ")
    unheard = write_config(
        tmp_path / "unheard.toml", '[[callers]]\nname = "a"\nroles = ["reader"]\ncertificate = "a.example"\n'
    )
    assert wrong_setting("sale-service", "serve", "--config", str(unheard)).startswith("callers[0].certificate: needs ")
    assert wrong_setting("sale-gateway", "serve", "--service", "x").startswith("http.service: ")
    assert wrong_setting("sale-service", "serve", "--dev", "--grpc", "0.0.0.0:0").startswith("grpc.listen: --dev ")
    assert wrong_setting("sale-service", "serve", "--config", config, "--grpc", "0.0.0.0:0").startswith(
        "grpc.listen: other "
    )
    assert wrong_setting("sale-service", "serve", "--config", config, "--http", "0.0.0.0:0").startswith(
        "http.listen: other "
    )
    assert wrong_setting("sale-gateway", "serve", "--http", "0.0.0.0:0").startswith("http.listen: other ")


def test_the_payment_gateways_port_is_protected_as_the_other_one_is(
    tmp_path: Path, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve = ["serve", "--config", str(write_config(tmp_path / "sale.toml")), "--http", "127.0.0.1:0"]
    monkeypatch.setenv("SALE_HTTP__PAYMENT_GATEWAY__LISTEN", "0.0.0.0:0")
    for program in (["sale-service", "--grpc=127.0.0.1:0"], ["sale-gateway"]):
        told = wrong(program[0], *serve, *program[1:])
        assert told.startswith("http.payment_gateway.listen: other hosts reach ")
    assert wrong("sale-service", "serve", "--dev").startswith("http.payment_gateway.listen: --dev listens on loopback")
    monkeypatch.setenv("SALE_HTTP__PAYMENT_GATEWAY__LISTEN", taken)
    assert wrong("sale-gateway", *serve).startswith("http.payment_gateway.listen: can't listen on ")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_that_is_taken_or_a_store_that_cannot_be_opened_is_told_in_one_line(
    tmp_path: Path, taken: str, workers: str
) -> None:
    (tmp_path / "file").write_text("no folder")
    serve = ["sale-service", "serve", f"--config={write_config(tmp_path / 'sale.toml')}", f"--workers={workers}"]
    store = f"--store=sqlite:///{tmp_path}/sale.db"

    assert wrong(*serve, store, f"--http={taken}", "--grpc=127.0.0.1:0").startswith("http.listen: ")
    assert wrong(*serve, store, "--http=127.0.0.1:0", f"--grpc={taken}").startswith("grpc.listen: ")
    bad_store = f"--store=sqlite:///{tmp_path}/file/sale.db"
    assert wrong(*serve, bad_store, "--http=127.0.0.1:0", "--grpc=127.0.0.1:0").startswith("store.url: ")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_two_listeners_on_one_port_are_told_in_one_line(
    tmp_path: Path, workers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, store = write_config(tmp_path / "sale.toml"), tmp_path / "sale.db"
    serve = ["sale-service", "serve", f"--config={config}", f"--store=sqlite:///{store}", f"--workers={workers}"]
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    same = f"127.0.0.1:{port}"

    told = wrong(*serve, f"--http={same}", f"--grpc={same}")
    assert told == f"grpc.listen: {same} is taken by http.listen, {same}"
    assert not store.exists()
    monkeypatch.setenv("SALE_HTTP__PAYMENT_GATEWAY__LISTEN", same)
    told = wrong("sale-gateway", "serve", f"--http={same}", f"--workers={workers}")
    assert told == f"http.payment_gateway.listen: {same} is taken by http.listen, {same}"
    # Another way to write it, which only the system knows for the same: it says so when the second one listens.
    monkeypatch.setenv("SALE_HTTP__PLAINTEXT", "true")
    told = wrong(*serve, f"--http=[::ffff:127.0.0.1]:{port}", "--grpc=127.0.0.1:0")
    assert told == f"http.listen: can't listen on [::ffff:127.0.0.1]:{port}: Address already in use"


def test_development_mode_prints_a_command_that_initiates_a_sale(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        http = f"127.0.0.1:{free.getsockname()[1]}"
    printed = tmp_path / "out"
    serve = f"sale-service serve --dev --http {http} --grpc 127.0.0.1:0 --store sqlite:///{tmp_path}/sale.db"
    arguments = shlex.split(serve)
    with printed.open("w") as stdout, running(arguments, tmp_path / "log", stdout=stdout):
        banner = printed.read_text()
        (curl,) = (line for line in banner.splitlines() if line.startswith("curl "))
        answer = subprocess.run(["bash", "-c", curl], capture_output=True, text=True, check=True, timeout=30).stdout

    assert '"endpointId":"1111"' in answer
    assert f"http://{http}" in banner
    assert "00000000-1111-2222-3333-444444444444" in banner


def test_development_mode_names_a_way_out_where_a_port_is_taken(tmp_path: Path, taken: str) -> None:
    free = "127.0.0.1:0"
    way_out = "; --http 127.0.0.1:0 --grpc 127.0.0.1:0 take any free ports"
    for http, grpc, setting in ((taken, free, "http.listen"), (free, taken, "grpc.listen")):
        ports = [f"--http={http}", f"--grpc={grpc}", f"--store=sqlite:///{tmp_path}/sale.db"]
        in_use = f"{setting}: can't listen on {taken}: Address already in use"

        assert wrong("sale-service", "serve", "--dev", *ports) == in_use + way_out
        assert wrong("sale-service", "serve", f"--config={write_config(tmp_path / 'sale.toml')}", *ports) == in_use
    assert "free ports" not in wrong(
        "sale-service", "serve", "--dev", "--http=127.0.0.1:0", "--grpc=localhost.invalid:1"
    )


def test_the_sandbox_of_development_mode_is_for_this_host_and_for_trying(tmp_path: Path, taken: str) -> None:
    config = str(write_config(tmp_path / "sale.toml"))
    dev = ["sale-service", "serve", "--dev", "--http=127.0.0.1:0", "--grpc=127.0.0.1:0"]

    told = wrong("sale-service", "serve", "--config", config, "--sandbox=127.0.0.1:0")
    assert told == "--sandbox: is for trying, with --dev only"
    assert wrong(*dev, "--sandbox=0.0.0.0:0").startswith("--sandbox: the sandbox is for trying, on loopback only")
    assert wrong(*dev, "--sandbox=8090") == "--sandbox: must be HOST:PORT, as in 127.0.0.1:8080"
    assert wrong(*dev, f"--sandbox={taken}").startswith(f"--sandbox: can't listen on {taken}: ")
