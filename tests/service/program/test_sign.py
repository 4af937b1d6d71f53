"""Signatures are made and explained on the command line, and the control key is in no argument."""

import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.parties.development import CONTROL_KEY
from service.program.cli import main
from tests.merchant import SBC, sign, write_config
from tests.running import PROGRAMS
from tests.vectors import VECTORS

VECTOR = VECTORS[1]
SESSION = {
    "--access-token": VECTOR["accessToken"],
    "--serial-number": VECTOR["serialNumber"],
    "--endpoint-id": VECTOR["endpointId"],
    "--nonce": VECTOR["nonce"],
    "--invoice-id": VECTOR["invoiceId"],
    "--amount-centis": str(VECTOR["amountCentis"]),
    "--currency": VECTOR["currency"],
}
PARTS = {
    "session": SESSION,
    "check": {
        **{name: SESSION[name] for name in ("--serial-number", "--nonce", "--endpoint-id", "--invoice-id")},
        "--server-card-id": VECTOR["serverCardId"],
    },
    "notification": {name: SESSION[name] for name in ("--nonce", "--endpoint-id", "--invoice-id")},
    "callback": {
        f"--{name.replace('_', '-')}": VECTOR["callback"][name] for name in ("status", "orderid", "client_orderid")
    },
}
SIGNATURES = {
    "session": VECTOR["signature"],
    "check": VECTOR["checkSignature"],
    "notification": VECTOR["notificationCheckSignature"],
    "callback": VECTOR["callback"]["control"],
}


def run(*arguments: str, key: str | None = VECTOR["controlKey"], typed: str = "") -> Result:
    return CliRunner().invoke(main, arguments, input=typed, env={"SALE_CONTROL_KEY": key})


def options(kind: str, **changed: str) -> list[str]:
    values = PARTS[kind] | {f"--{name.replace('_', '-')}": value for name, value in changed.items()}
    return [word for pair in values.items() for word in pair]


@pytest.mark.parametrize("kind", SIGNATURES)
def test_a_signature_is_made_of_its_parts_and_found_right(kind: str) -> None:
    made = run("sign", kind, *options(kind))
    told = run("explain", kind, SIGNATURES[kind], *options(kind))

    assert (made.exit_code, made.stdout) == (0, f"{SIGNATURES[kind]}\n")
    assert "".join(PARTS[kind].values()) in made.stderr or kind == "session"
    for value in PARTS[kind].values():
        assert value in made.stderr
    assert VECTOR["controlKey"] not in made.stderr
    assert (told.exit_code, told.stdout) == (0, "It matches.\n")


def test_a_script_gets_the_signature_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(VECTOR["controlKey"])
    made = [
        str(PROGRAMS / "sale-service"),
        "sign",
        "check",
        f"--control-key-file={tmp_path / 'key'}",
        *options("check"),
    ]
    done = subprocess.run(made, capture_output=True, text=True, timeout=30, check=True)

    assert done.stdout == f"{SIGNATURES['check']}\n"
    assert "\x1b" not in done.stderr


def test_a_wrong_signature_is_explained_with_exit_code_1() -> None:
    wrong = sign(VECTOR["controlKey"], *options("notification")[1::2][::-1])

    told = run("explain", "notification", wrong, *options("notification"))

    assert told.exit_code == 1
    assert told.stdout == "It does not match.\nsession.nonce and invoiceId have changed places.\n"
    unknown = run("explain", "notification", "0" * 40, *options("notification"))
    assert unknown.exit_code == 1
    assert "No single mistake" in unknown.stdout


@pytest.mark.parametrize("text", ["zz", "0" * 39, "0" * 41])
def test_what_is_no_signature_is_told_to_be_none(text: str) -> None:
    told = run("explain", "notification", text, *options("notification"))

    assert (told.exit_code, told.stdout) == (2, "")
    assert told.stderr == "Error: SIGNATURE: This is no signature: it has to be 40 hexadecimal digits.\n"


def test_a_signature_that_is_written_wrongly_is_still_explained() -> None:
    told = run("explain", "notification", SIGNATURES["notification"][:39], *options("notification"))

    assert told.exit_code == 1
    assert "Only the beginning of the signature was given." in told.stdout


def test_the_key_comes_from_a_file_from_standard_input_from_the_settings_or_from_development_mode(
    tmp_path: Path,
) -> None:
    file = tmp_path / "key"
    file.write_text(f"{VECTOR['controlKey']}\n")
    config = write_config(tmp_path / "sale.toml")
    made = ["sign", "notification", *options("notification")]
    right = f"{SIGNATURES['notification']}\n"

    assert run(*made, f"--control-key-file={file}", key=None).stdout == right
    assert run(*made, "--control-key-file=-", key=None, typed=VECTOR["controlKey"]).stdout == right
    configured = run(
        "sign", "notification", *options("notification", endpoint_id=SBC.endpoint_id), f"--config={config}"
    )
    parts = (VECTOR["nonce"], SBC.endpoint_id, VECTOR["invoiceId"])
    assert configured.stdout == f"{sign(SBC.control_key, *parts)}\n"
    developed = run(*made, "--dev")
    assert developed.stdout == f"{sign(CONTROL_KEY, *options('notification')[1::2])}\n"


def test_what_is_wrong_with_an_option_is_told_in_one_line_without_the_key(tmp_path: Path) -> None:
    config = write_config(tmp_path / "sale.toml")
    made = ["sign", "notification", *options("notification")]
    faults = {
        "--control-key-file: name a file": run(*made, key=None),
        "--control-key-file: /no/such: ": run(*made, "--control-key-file=/no/such"),
        "SALE_CONTROL_KEY: must be pairs": run(*made, key="not a key"),
        "--endpoint-id: must be one of 11110, ": run(*made, f"--config={config}"),
    }

    for words, done in faults.items():
        assert done.exit_code == 2
        assert re.match(f"Error: {words}", done.stderr), done.stderr
        assert "not a key" not in done.stderr


def test_no_option_takes_the_key_itself() -> None:
    told = run("sign", "session", "--help").stdout + run("explain", "session", "--help").stdout

    assert "--control-key-file" in told
    assert not re.search(r"--(?:control-)?key[ =]", told)
