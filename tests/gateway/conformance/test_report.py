"""What is told of a fault does nothing to a terminal, and fits whatever it is printed to."""

import json
import subprocess
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from gateway.conformance.exchanges import Exchange, Request
from gateway.conformance.faults import Fault, NotTested
from gateway.program.verify import verify
from tests.gateway.conformance.reference_server import CONTROL_KEY, Flaw, ReferenceServer
from tests.gateway.conformance.serving import serving
from tests.running import PROGRAMS


@pytest.fixture(scope="module")
def crashing() -> Iterator[str]:
    with serving(ReferenceServer(Flaw.CRASHES).app()) as url:
        yield url


@pytest.mark.parametrize("text", ["\x1b[2J\x1b]0;gone\x07", "\ud800", "\u202e", "a\rb", "\0"])
def test_what_a_server_says_reaches_no_terminal_as_it_is(text: str) -> None:
    exchange = Exchange(Request("GET", "http://127.0.0.1/"), 200, {}, text.encode(errors="surrogatepass"))
    fault = Fault(text, exchange.told(), exchange)

    assert all(part.isprintable() for part in (fault.expected, fault.got, NotTested(text).reason))


def test_strings_that_have_no_form_are_told_as_escapes(crashing: str) -> None:
    options = [f"--target={crashing}", "--only=initiate.no-nul", "--strict"]
    ended = CliRunner().invoke(verify, options)

    assert ended.exit_code == 1
    assert r"to be refused" in ended.stdout
    assert r"\ud800" in ended.stdout
    faults = json.loads(CliRunner().invoke(verify, [*options, "--json"]).stdout)["requirements"][0]["faults"]
    assert all(fault["curl"][0].startswith("curl -sS -i http://127.0.0.1") for fault in faults)


@pytest.mark.parametrize("flaw", [Flaw.LATIN_1, Flaw.KEY_AS_TEXT])
def test_no_other_control_key_is_suspected_where_signatures_tell_what_is_wrong(flaw: Flaw) -> None:
    with serving(ReferenceServer(flaw).app()) as url:
        ended = CliRunner().invoke(
            verify, [f"--target={url}", "--only=initiate.signature*"], env={"SALE_CONTROL_KEY": CONTROL_KEY}
        )

    assert ended.exit_code == 1
    assert "✗ initiate.signature-utf-8" in ended.stdout
    assert "All signatures fail alike" not in ended.stdout


def test_a_terminal_that_knows_ascii_only_is_enough(crashing: str) -> None:
    command = [str(PROGRAMS / "sale-gateway"), "verify", f"--target={crashing}", "--only=initiate.success"]
    ended = subprocess.run(command, check=False, capture_output=True, env={"PYTHONIOENCODING": "ascii"})

    assert (ended.returncode, ended.stderr) == (0, b"")
    assert b"initiate.success" in ended.stdout
