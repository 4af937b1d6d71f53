"""`sale-gateway sandbox` runs on loopback, tells its cards, and shows what it does without a card number."""

import re
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner

from gateway.program.cli import main
from gateway.sandbox.cards import AMOUNTS, CARDS
from tests.running import ANY_PORT, running


def test_every_card_and_amount_is_told() -> None:
    told = CliRunner().invoke(main, ["sandbox", "--cards"])

    assert told.exit_code == 0
    for card in CARDS:
        assert re.search(rf"^{card.name} +{card.number[:4]} {card.number[4:8]} ", told.stdout, re.MULTILINE)
    for centis in AMOUNTS:
        assert f"\n{centis / 100:.2f} " in told.stdout


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--listen=0.0.0.0:0", "--listen: the sandbox is for trying, on loopback only, not on 0.0.0.0:0"),
        ("--control-key=x", "--control-key: a control key must be pairs of hexadecimal digits, and dashes"),
        ("--target=127.0.0.1:8080", "must be scheme, host and port, as in http://127.0.0.1:8080"),
        ("--slow-delay=5", "must be a number above 0 and a unit, as in 500ms, 30s, 30m, 12h or 31d"),
    ],
)
def test_a_wrong_option_is_told_with_its_rule(option: str, told: str) -> None:
    wrong = CliRunner().invoke(main, ["sandbox", option])

    assert wrong.exit_code == 2
    assert told in wrong.stderr


def test_the_help_tells_who_else_sees_the_control_key() -> None:
    told = " ".join(CliRunner().invoke(main, ["sandbox", "--help"]).stdout.split())

    assert "Better in SALE_CONTROL_KEY: other users see it in the list of processes." in told


def test_it_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    with running(["sale-gateway", "sandbox", f"--listen={ANY_PORT}"], tmp_path / "log") as sandbox:
        answer = httpx2.get(f"http://{sandbox.http}/paynet/3ds/unknown")
        code = sandbox.stop()

    assert answer.status_code == 404
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert code == 0
