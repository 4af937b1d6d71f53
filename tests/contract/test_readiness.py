"""`ready` asks what serves on the same host, as a container's health check and an exec probe do."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.program.cli import main as sale_gateway
from gateway.program.readiness import reachable
from gateway.program.values import Address
from service.program.cli import main as sale_service
from tests.certificates import Authority
from tests.conftest import deploy
from tests.merchant import write_config
from tests.running import running, service_arguments


def ready(program: str, *arguments: str) -> tuple[int, str]:
    """Return the exit code of the command and the one line that it has printed."""
    main = sale_service if program == "sale-service" else sale_gateway
    done = CliRunner().invoke(main, ["ready", *arguments])
    (line,) = done.output.splitlines()
    return done.exit_code, line


def test_who_serves_is_ready_and_who_does_not_is_told(tmp_path: Path) -> None:
    with ExitStack() as stack:
        deployment = deploy(stack, "two processes", tmp_path)

        assert ready("sale-gateway", f"--http={deployment.gateway.http}") == (0, "ready")
        assert ready("sale-service", "--no-http", f"--grpc={deployment.service.grpc}") == (0, "ready")
        deployment.service.kill()
        code, line = ready("sale-gateway", f"--http={deployment.gateway.http}")
        assert (code, "The service can't" in line) == (1, True)
        assert '"stream to the service broken"' in line
        code, line = ready("sale-service", "--no-http", f"--grpc={deployment.service.grpc}")
        assert (code, line.startswith(f"grpc.listen: {deployment.service.grpc} can't be asked: ")) == (1, True)


def test_a_port_with_tls_is_asked_by_tls(tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).server(host="shop.example")
    extra = f'[http]\ntls_cert = "{certificate}"\ntls_key = "{key}"\n'
    config = write_config(tmp_path / "sale.toml", extra)
    with running(service_arguments(config, f"sqlite:///{tmp_path / 'sale.db'}"), tmp_path / "log") as program:
        assert ready("sale-service", f"--config={config}", f"--http={program.http}") == (0, "ready")


def test_nobody_there_is_not_ready() -> None:
    code, line = ready("sale-service", "--http=127.0.0.1:1")

    assert (code, line) == (1, "http.listen: 127.0.0.1:1 can't be asked: [Errno 111] Connection refused")


@pytest.mark.parametrize(
    ("listen", "asked"),
    [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("10.0.0.5", "10.0.0.5"), ("sale.internal", "sale.internal")],  # noqa: S104
)
def test_what_listens_everywhere_is_asked_on_loopback(listen: str, asked: str) -> None:
    assert reachable(Address(listen, 8080)) == Address(asked, 8080)
