"""Our server holds what the conformance kit asks of any: in development mode, and by TLS with two ports."""

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.parties.development import CONTROL_KEY
from gateway.program.verify import verify as command
from tests.certificates import Authority
from tests.merchant import SBC, write_config
from tests.running import ANY_PORT, PROGRAMS, Program, running, service_arguments

QUICK = ("--only=initiate.success", "--only=check.confirms", "--only=callback.accepted", "--only=kit")

SKIPPED = ("--only=auth.request-access-token", "--only=callback.accepted")


def verify(*arguments: str, key: str | None = None) -> Result:
    """Run the command with a control key, or without one."""
    return CliRunner().invoke(command, arguments, env={"SALE_CONTROL_KEY": key})


@pytest.fixture(scope="module")
def development(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("development")
    dev = ["--dev", "--no-sandbox", f"--http={ANY_PORT}", f"--grpc={ANY_PORT}", f"--store=sqlite:///{folder}/sale.db"]
    with running(["sale-service", "serve", *dev], folder / "service.log") as program:
        yield f"http://{program.http}"


def test_a_server_in_development_mode_holds_everything(development: str) -> None:
    program = [str(PROGRAMS / "sale-gateway"), "verify", f"--target={development}", "--strict", "--json"]
    environment = {**os.environ, "SALE_CONTROL_KEY": CONTROL_KEY}
    ended = subprocess.run(program, check=False, capture_output=True, text=True, timeout=120, env=environment)

    document = json.loads(ended.stdout)
    assert [each for each in document["requirements"] if each["verdict"] != "holds"] == []
    assert (ended.returncode, document["holds"], ended.stderr) == (0, True, "")


class TwoPorts:
    """A server by TLS, with a port of the payment gateway's own that asks for a certificate."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        clients = Authority(folder, "clients")
        server = self.authority.server()
        self.client = clients.client("sbc")
        files = f'tls_cert = "{server.certificate}"\ntls_key = "{server.key}"\n'
        settings = f'[http]\n{files}[http.payment_gateway]\nlisten = "{ANY_PORT}"\n{files}'
        self.config = write_config(folder / "sale.toml", f'{settings}client_ca = "{clients.certificate}"\n', (SBC,))
        self.key_file = folder / "control.key"
        self.key_file.write_text(f"{SBC.control_key}\n")

    def options(self, program: Program) -> list[str]:
        serving = program.wait_for_event("serving")
        return [
            f"--target=https://{program.http}",
            f"--payment-gateway-url=https://{serving['http_payment_gateway']}",
            f"--control-key-file={self.key_file}",
            f"--cert={self.client.certificate}",
            f"--key={self.client.key}",
        ]


def test_a_server_by_tls_holds_everything_on_both_of_its_ports(tmp_path: Path) -> None:
    ports = TwoPorts(tmp_path)
    with running(service_arguments(ports.config, f"sqlite:///{tmp_path}/sale.db"), tmp_path / "service.log") as program:
        options = ports.options(program)
        ended = verify(*options, f"--ca={ports.authority.certificate}", "--strict", "--json")
        unknown = verify(*options)
        insecure = verify(*options, "--insecure", *QUICK)

    assert [each for each in json.loads(ended.stdout)["requirements"] if each["verdict"] != "holds"] == []
    assert ended.exit_code == 0
    assert (unknown.exit_code, "--ca FILE, or --insecure" in unknown.stderr) == (2, True)
    assert insecure.exit_code == 0, insecure.stdout


def test_a_wrong_control_key_is_told_for_people_with_a_line_that_shows_it(development: str) -> None:
    ended = verify(f"--target={development}", "--only=initiate.signature", "--only=check.confirms", key=SBC.control_key)

    assert ended.exit_code == 1
    assert "✗  initiate.signature" in ended.stdout
    assert "✓  check.confirms" in ended.stdout
    assert "another control key, or other parts in another order" in ended.stdout
    assert "1 that MUST hold does not" in ended.stdout
    assert "\x1b[" not in ended.stdout
    if shutil.which("curl") is None:
        assert "CI" not in os.environ, "curl is not installed"
        pytest.skip("curl is not installed: apt-get install curl")
    (line,) = [line for line in ended.stdout.splitlines() if line.startswith("  curl ")]
    shown = subprocess.run(shlex.split(line), check=True, capture_output=True, text=True)
    assert "HTTP/1.1 200 OK" in shown.stdout
    assert "invoiceId" in shown.stdout


def test_signatures_that_all_fail_alike_let_the_control_key_be_suspected(development: str) -> None:
    signatures = ("--only=initiate.signature", "--only=check.signature")
    wrong = verify(f"--target={development}", *signatures, key=SBC.control_key)
    right = verify(f"--target={development}", *signatures, key=CONTROL_KEY)

    *_, suspicion, _, _ = wrong.stdout.splitlines()
    assert suspicion == "All signatures fail alike: is this the control key of endpoint 1111?"
    assert "alike" not in right.stdout


def test_what_can_not_be_tested_before_something_else_holds_is_told_with_the_reason(development: str) -> None:
    ended = verify(f"--target={development}", "--currency=SEK", "--only=initiate.success", "--only=check.confirms")

    assert ended.exit_code == 1
    assert "✗ initiate.success" in ended.stdout
    assert '? not tested: no sale could be opened: HTTP 403 {"error":{"cause":"FILTERED"' in ended.stdout


def test_without_the_control_key_the_rest_is_tested(development: str) -> None:
    ended = verify(f"--target={development}", *QUICK)

    assert ended.exit_code == 0
    assert "[skipped: it needs the control key" in " ".join(ended.stdout.split())
    assert "holds 3, skipped 1 for want of the control key; nothing of what was tested is wrong." in ended.stdout


def test_what_was_skipped_counts_where_that_is_asked_for(development: str) -> None:
    required = verify(f"--target={development}", *QUICK, "--no-skips")
    document = verify(f"--target={development}", *QUICK, "--no-skips", "--json")
    whole = verify(f"--target={development}", *QUICK, "--no-skips", key=CONTROL_KEY)

    assert required.exit_code == 1
    assert "nothing of what was tested is wrong, but --no-skips lets what was skipped count." in required.stdout
    assert (document.exit_code, json.loads(document.stdout)["holds"]) == (1, False)
    assert (whole.exit_code, "holds 4; nothing is wrong." in whole.stdout) == (0, True)


def test_reasons_of_skipping_are_told_apart(development: str) -> None:
    ended = verify(f"--target={development}", "--access-token=" + "0" * 64, *SKIPPED)

    assert "(1 as --access-token says that the server gives none out, 1 for want of the control key)" in ended.stdout
    assert ended.exit_code == 0


def test_the_list_tells_ids_and_where_they_come_from() -> None:
    listed: list[dict[str, Any]] = json.loads(verify("--list", "--json").stdout)

    assert len({each["id"] for each in listed}) == len(listed) > 100
    assert {each["severity"] for each in listed} == {"MUST", "SHOULD"}
    assert all(each["sentence"].endswith(".") and each["source"] for each in listed)
    assert "check.tampered-nonce" in verify("--list", "--only=check.tampered-*").stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "--target is missing"),
        (["--target=sale.example.com"], "has to be a URL such as https://sale.example.com"),
        (["--target=http://127.0.0.1:1"], "Is the server running, and is that its address?"),
        (["--target=http://127.0.0.1:1", "--only=nonsense"], "nothing is named nonsense; --list shows all names"),
        (["--target=http://127.0.0.1:1", "--control-key=words"], "has to be pairs of hexadecimal digits"),
        (["--target=http://127.0.0.1:1", "--control-key-file=/nowhere"], "/nowhere has to be a readable file"),
        (["--target=https://127.0.0.1:1", "--ca=/nowhere"], "--ca, --cert or --key: "),
    ],
)
def test_a_wrong_option_is_told_with_the_way_to_fix_it(arguments: list[str], told: str) -> None:
    ended = verify(*arguments)

    assert (ended.exit_code, ended.stdout) == (2, "")
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_server_that_gives_out_no_access_token_is_told_to_need_one(development: str) -> None:
    ended = verify(f"--target={development}/elsewhere")

    assert ended.exit_code == 2
    assert "gives out no session.accessToken" in ended.stderr
    assert "--access-token" in ended.stderr
