"""`sale-gateway simulate` shows whole sales, and tells by its exit code whether they went as the card promises."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.program.cli import main
from gateway.sandbox.cards import CARDS
from tests.running import ANY_PORT, PROGRAMS, Program, running

SECRET = re.compile(r"[0-9a-f]{40}|[0-9A-F]{40}|\d{12,}")
COLOUR = re.compile(r"\x1b\[(\d+;)*3\d")


class Shop:
    """A server in development mode with its sandbox, and the command."""

    def __init__(self, server: Program, sandbox: str) -> None:
        self.server = server
        self._where = ["--server", f"http://{server.http}", "--gateway", f"http://{sandbox}"]

    def simulate(self, *options: str, environment: dict[str, str] | None = None) -> Result:
        arguments = ["simulate", *self._where, "--interval=50ms", *options]
        return CliRunner(env={"FORCE_COLOR": None, "NO_COLOR": None, **(environment or {})}).invoke(main, arguments)

    def head(self) -> tuple[str, str]:
        """Return its first line and what it complains of when nobody reads on."""
        command = [str(PROGRAMS / "sale-gateway"), "simulate", *self._where]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            first = process.stdout.readline()
            process.stdout.close()
            return first, process.stderr.read()

    def events(self, *options: str) -> list[dict[str, Any]]:
        """Return what it wrote for machines, once all went as promised."""
        done = self.simulate("--json", *options)
        assert done.exit_code == 0, done.output
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("simulation")
    ports = [f"--http={ANY_PORT}", f"--grpc={ANY_PORT}", f"--sandbox={ANY_PORT}"]
    serve = ["sale-service", "serve", "--dev", "--workers=2", *ports, f"--store=sqlite:///{folder}/sale.db"]
    banner = folder / "banner"
    with banner.open("w") as stdout, running(serve, folder / "log", stdout=stdout) as server:
        found = re.search(r"sandbox +http://(\S+),", _whole(banner.read_text))
        assert found is not None
        yield Shop(server, found[1])


def _whole(read: Any) -> str:
    """Return the banner, which comes after the line in the log that it serves."""
    while "Initiate a sale" not in (text := read()):
        time.sleep(0.01)
    return str(text)


def test_a_sale_is_shown_step_by_step_and_then_one_with_the_saved_card(shop: Shop) -> None:
    done = shop.simulate("--again")

    assert done.exit_code == 0
    names = "|".join(["request access token", "initiate sale", "perform sale", "sale status", "get client ids"])
    steps = [step for step, _ in groupby(re.findall(f"^(?:{names})", done.stdout, re.MULTILINE))]
    first = ["request access token", "initiate sale", "perform sale", "sale status", "get client ids"]
    assert steps == [*first, "initiate sale", "perform sale", "sale status"]
    assert done.stdout.count("APPROVED, as the card promises") == 2
    assert done.stdout.count('"clientCardId"') == 1


def test_no_secret_and_no_whole_card_number_is_shown_unless_it_is_asked_for(shop: Shop) -> None:
    plain = shop.simulate().stdout
    assert SECRET.search(plain) is None
    assert "\x1b" not in plain

    shown = shop.simulate("--show-secrets").stdout
    assert SECRET.search(shown) is not None
    assert CARDS[0].number not in shown


def test_machines_get_one_object_a_line(shop: Shop) -> None:
    begin, *steps, sale, end = shop.events("--card=declined")

    assert [begin["event"], sale["event"], end["event"]] == ["begin", "sale", "end"]
    assert begin["promise"] == "DECLINED"
    assert {step["event"] for step in steps} == {"step"}
    assert steps[1]["request"]["transaction"] == {"amountCentis": 1042, "currency": "EUR"}
    assert steps[1]["answer"]["endpointId"] == "1111"
    assert (sale["ended"], sale["asPromised"]) == ("DECLINED", True)
    assert end["ended"] == {"DECLINED": 1}
    assert end["milliseconds"]["perform sale"]["count"] == 1


@pytest.mark.parametrize(("options", "ended"), [([], "APPROVED"), (["--reject"], "DECLINED")])
def test_it_answers_on_the_page_by_itself(shop: Shop, options: list[str], ended: str) -> None:
    events = shop.events("--card=3ds", *options)

    (page,) = (event for event in events if event.get("step") == "confirm on page")
    assert page["status"] == 200
    assert events[-2]["ended"] == ended


def test_a_card_may_promise_a_refusal_or_to_say_nothing(shop: Shop) -> None:
    assert shop.events("--card=unanswered", "--http-timeout=500ms")[-1]["ended"] == {"NO_ANSWER": 1}
    assert shop.events("--card=wrong-signature")[-1]["ended"] == {"REFUSED": 1}
    assert shop.events("--card=silent", "--patience=100ms")[-1]["ended"] == {"PROCESSING": 1}


def test_a_card_can_be_named_by_its_number_and_an_amount_can_decline_it(shop: Shop) -> None:
    assert shop.events("--card=4242 4242 4242 4242", "--amount=116")[-1]["ended"] == {"DECLINED": 1}


def test_many_sales_are_counted(shop: Shop) -> None:
    done = shop.simulate("--count=5", "--rate=50")

    assert done.exit_code == 0
    assert re.search(r"APPROVED +│ 5 ", done.stdout)
    assert re.search(r"whole sale +│ 5 +│ [\d.]+ +│ [\d.]+ ", done.stdout)


def test_a_sale_that_does_not_go_as_promised_fails_the_command(shop: Shop) -> None:
    unsold = shop.simulate("--currency=JPY")

    assert unsold.exit_code == 1
    assert "FAILED, 2002 FILTERED: " in unsold.stdout
    impatient = shop.simulate("--card=slow", "--patience=1ms")
    assert impatient.exit_code == 1
    assert "PROCESSING, the card promises APPROVED" in impatient.stdout


def test_a_server_that_is_not_there_is_told_with_the_way_to_start_it(shop: Shop) -> None:
    away = shop.simulate("--server=http://127.0.0.1:1")
    assert away.exit_code == 1
    assert away.stderr == (
        "Error: server not reachable at http://127.0.0.1:1: start it with `make serve`, or name it with --server\n"
    )

    no_gateway = shop.simulate("--gateway=http://127.0.0.1:1")
    assert no_gateway.exit_code == 1
    assert no_gateway.stderr.startswith("Error: payment gateway not reachable at http://127.0.0.1:1: ")


def test_a_sandbox_that_checks_at_another_server_is_hinted_at(shop: Shop, tmp_path: Path) -> None:
    other = ["sale-service", "serve", "--dev", "--no-sandbox", f"--http={ANY_PORT}", f"--grpc={ANY_PORT}"]
    with running([*other, f"--store=sqlite:///{tmp_path}/sale.db"], tmp_path / "log") as server:
        url = f"http://{server.http}"
        strange = shop.simulate(f"--server={url}")

    assert strange.exit_code == 1
    assert "REFUSED, 1104 INVALID_REQUEST" in strange.stdout
    assert re.fullmatch(rf"Hint: Is http://\S+ the sandbox of {url}\? A sandbox .* for --gateway\.\n", strange.stderr)


def test_a_refusal_that_the_card_promises_needs_no_hint(shop: Shop) -> None:
    assert shop.simulate("--card=wrong-signature").stderr == ""


def test_a_port_without_tls_is_told_to_be_there_rather_than_to_be_started(shop: Shop) -> None:
    url = f"https://{shop.server.http}"
    plain = shop.simulate(f"--server={url}")

    assert plain.exit_code == 1
    assert f"FAILED, {url}: speaks no TLS there; try http://" in plain.stdout
    assert "SSL" not in plain.output
    assert plain.stderr == ""


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--card=none", "must be a card number or one of: approved, "),
        ("--card=4444555566661112", "check digit"),
        ("--server=ftp://x", "must be scheme, host and port"),
        ("--interval=1", "must be a number above 0 and a unit"),
        ("--amount=0", "x>=1"),
    ],
)
def test_a_wrong_option_is_told_with_its_rule(shop: Shop, option: str, words: str) -> None:
    wrong = shop.simulate(option)

    assert wrong.exit_code == 2
    assert words in wrong.stderr
    assert wrong.stdout == ""


def test_there_is_colour_on_a_terminal_unless_nobody_wants_it(shop: Shop) -> None:
    assert COLOUR.search(shop.simulate(environment={"FORCE_COLOR": "1"}).stdout)
    assert COLOUR.search(shop.simulate(environment={"FORCE_COLOR": "1", "NO_COLOR": "1"}).stdout) is None


def test_nothing_is_complained_of_when_nobody_reads_on(shop: Shop) -> None:
    first, complaints = shop.head()

    assert first.startswith("10.42 EUR by card approved, 444455******1111")
    assert not complaints
