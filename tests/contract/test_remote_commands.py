"""The commands that ask a server which runs: what they print, and what they say where it does not answer."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from connectingparty.comments import COMMENTS

from service.callers import hash_key
from service.program.cli import main
from tests.certificates import Authority
from tests.merchant import (
    CALLER_KEY,
    callback_parameters,
    check_document,
    initiate_document,
    with_member,
    write_config,
)
from tests.running import KEY_METADATA, PROGRAMS, Program, running, service_arguments
from tests.transports import OverHttp

READER_KEY = "reader" * 4
READER = f'[[callers]]\nname = "support"\nroles = ["reader"]\nkey_hashes = ["{hash_key(READER_KEY).hex()}"]\n'


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("asked")
    config = write_config(folder / "sale.toml", READER)
    with running(service_arguments(config, f"sqlite:///{folder}/sale.db"), folder / "log") as program:
        yield program


@pytest.fixture
def shop(program: Program) -> Iterator[OverHttp]:
    with program.client() as client:
        yield OverHttp(client)


@pytest.fixture
def ask(program: Program) -> Any:
    """Runs a command within this process: starting a program takes longer than a call."""

    def run(*arguments: str, key: str | None = CALLER_KEY, **named: Any) -> Result:
        command = [*arguments, f"--service={program.grpc}"]
        return CliRunner().invoke(main, command, env={"SALE_SERVICE__KEY": key}, **named)

    return run


def printed(done: Result) -> str:
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    return done.stdout


def paid(shop: OverHttp) -> str:
    """Return the invoice id of a sale whose first check was refused, and that was approved in the end."""
    access_token = shop.request_access_token()
    session = shop.initiate(initiate_document(access_token)).body
    check = check_document(access_token, session)
    shop.check(session["invoiceId"], with_member(check, "session.nonce", "f" * 64))
    shop.check(session["invoiceId"], check)
    shop.callback(callback_parameters(session["invoiceId"], amount="99.00"))
    return str(session["invoiceId"])


def shown(ask: Any, invoice_id: str, requests: int) -> str:
    """Return what is shown of a sale, once so many requests are."""
    for _ in range(100):
        text = printed(ask("sales", "show", invoice_id))
        if text.count("127.0.0.1") >= requests:
            break
    return text


def test_support_reads_what_happened_to_a_sale(ask: Any, shop: OverHttp) -> None:
    invoice_id = paid(shop)

    about, _, events = shown(ask, invoice_id, 4).partition("\n\n")

    told = dict(line.split("  ", 1) for line in about.splitlines())
    assert told["invoice id"].strip() == invoice_id
    assert told["amount"].strip() == "10.42 EUR (a report differs)"
    head, *lines = events.splitlines()
    assert head.split() == ["time", "what", "state", "by", "from", "ms", "answer"]
    assert [line[26:].split("  ")[0] for line in lines] == [
        "InitiateSale",
        "CheckSale",
        "CheckSale",
        "ReceiveCallback: sale approved 99.00 (differs)",
    ]
    for line, words in zip(lines, ["OK", "1102 The request does not match", "CHECKED", "APPROVED"], strict=True):
        assert words in line
        assert "gateway in process  127.0.0.1" in line
    told_as_json = json.loads(printed(ask("sales", "show", invoice_id, "--json")))
    assert [event["errorReason"] for event in told_as_json["events"]].count("ERROR_REASON_SESSION_MISMATCH") == 1
    assert told_as_json["sale"]["amountCentis"] == 1042


def test_sales_are_listed_by_the_filters_of_the_proto(ask: Any, shop: OverHttp) -> None:
    issued = json.loads(printed(ask("tokens", "issue", "--consumer-id=anna", "--email=a@example.com", "--json")))
    ids = [shop.initiate(initiate_document(issued["accessToken"])).body["invoiceId"] for _ in range(3)]
    shop.callback(callback_parameters(ids[1], "declined"))

    def listed(*filters: str) -> list[str]:
        lines = printed(ask("sales", "list", "--consumer-id=anna", "--json", *filters)).splitlines()
        return [json.loads(line)["invoiceId"] for line in lines]

    assert listed() == ids[::-1]
    assert listed("--limit=2") == ids[:0:-1]
    assert listed("--state=declined") == [ids[1]]
    assert listed("--since=2200-01-01", "--endpoint-id=11110") == []
    head, *rows = printed(ask("sales", "list", "--consumer-id=anna")).splitlines()
    assert head.split() == ["initiated", "invoice", "id", "state", "amount", "endpoint", "consumer"]
    assert rows[1].split()[1:] == [ids[1], "DECLINED", "10.42", "EUR", "11110", "anna"]
    help_text = " ".join(printed(CliRunner().invoke(main, ["sales", "list", "--help"])).split())
    assert COMMENTS["connectingparty.sale.v1.ListSalesRequest.endpoint_id"] in help_text


def test_a_token_is_revoked_without_being_on_a_command_line(ask: Any, shop: OverHttp) -> None:
    lines = printed(ask("tokens", "issue", "--consumer-id=boris", "--ttl=5m")).splitlines()
    first = lines[0].removeprefix("access_token ")
    second = printed(ask("tokens", "issue", "--consumer-id=boris")).splitlines()[0].removeprefix("access_token ")
    assert lines[1].startswith("expire_time 20")
    assert [shop.initiate(initiate_document(token)).code for token in (first, second)] == [0, 0]

    printed(ask("tokens", "revoke", input=f"{first}\n"))

    assert [shop.initiate(initiate_document(token)).code for token in (first, second)] == [1101, 0]
    assert printed(ask("tokens", "revoke", "--consumer-id=boris")) == "revoked_count 1\n"
    assert shop.initiate(initiate_document(second)).code == 1101
    assert ask("tokens", "revoke", input="short\n").exit_code == 1
    nothing = ask("tokens", "revoke", input="")
    assert nothing.exit_code == 2
    assert "the access token: none came in; it is read from standard input" in nothing.stderr


def test_cards_and_endpoints_are_listed_without_numbers_and_keys(ask: Any) -> None:
    assert printed(ask("cards", "list", "nobody")).split("\n")[1:] == [""]
    assert printed(ask("cards", "list", "nobody", "--json")) == ""
    assert printed(ask("cards", "list", "--consumer-id=nobody", "--json")) == ""
    rows = printed(ask("endpoints", "list")).splitlines()
    assert rows[1].split() == ["11110", "SBC", "EUR", "0.01", "to", "90071992547409.93", "upper", "1"]
    told = [json.loads(line) for line in printed(ask("endpoints", "list", "--json")).splitlines()]
    assert [(each["endpointId"], each["controlKeyCount"]) for each in told][:2] == [("11110", 1), ("22220", 1)]
    assert told[4]["randomSumCentis"] == {"min": 100, "max": 999}


@pytest.mark.parametrize("consumers", [(), ("anna", "--consumer-id=boris")])
def test_cards_are_listed_of_one_consumer(ask: Any, consumers: tuple[str, ...]) -> None:
    done = ask("cards", "list", *consumers)

    assert done.exit_code == 2
    assert "name one, as CONSUMER or by --consumer-id" in done.stderr


def test_whoever_may_not_is_told_which_role_is_needed(ask: Any) -> None:
    nobody = ask("sales", "list", key="nobody-of-whom-anybody-knows")
    assert (nobody.exit_code, nobody.stdout) == (1, "")
    assert "1110" in nobody.stderr
    assert "with the role reader by --key-file" in nobody.stderr
    reader = ask("tokens", "issue", key=READER_KEY)
    assert reader.exit_code == 1
    assert "1111: The caller support has not the role ROLE_ISSUER. Add issuer to the roles" in reader.stderr
    assert ask("sales", "show", "no-such-sale", key=READER_KEY).stderr.startswith("Error: 1104: There is no such ")
    assert ask("sales", "list", "--state=odd").exit_code == 2
    assert ask("sales", "watch", "--cursor=x", "--since=2026-01-01").exit_code == 2
    assert ask("sales", "list", "--key-file=/no/such").exit_code == 2


def test_a_service_that_is_not_there_is_told_with_what_to_do() -> None:
    done = CliRunner().invoke(main, ["endpoints", "list", "--service=127.0.0.1:1"])

    assert done.exit_code == 1
    assert done.stderr.startswith("Error: can't reach the service at 127.0.0.1:1: ")
    assert done.stderr.endswith("--service HOST:PORT names another place; a port with TLS needs --tls-ca.\n")


def test_the_services_own_settings_say_where_it_is_and_that_it_has_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, client = authority.server(), authority.client("support", "support.shop.example")
    config = write_config(
        tmp_path / "sale.toml",
        f'[grpc]\ntls_cert = "{server.certificate}"\ntls_key = "{server.key}"\nclient_ca = "{authority.certificate}"\n'
        '[[callers]]\nname = "support"\nroles = ["reader"]\ncertificate = "support.shop.example"\n',
    )
    with running(service_arguments(config, f"sqlite:///{tmp_path}/sale.db"), tmp_path / "log") as program:
        text = config.read_text().replace("[grpc]\n", f'[grpc]\nlisten = "{program.grpc}"\n')
        config.write_text(text)
        files = [f"--tls-ca={authority.certificate}", f"--tls-cert={client.certificate}", f"--tls-key={client.key}"]
        rows = printed(CliRunner().invoke(main, ["endpoints", "list", f"--config={config}", *files])).splitlines()

    assert len(rows) == 6


def test_changes_are_watched_through_a_restart_of_the_server(tmp_path: Path) -> None:
    arguments = service_arguments(write_config(tmp_path / "sale.toml"), f"sqlite:///{tmp_path}/sale.db")
    with running(arguments, tmp_path / "log") as program, program.client() as client:
        address, first = str(program.grpc), new_sale(OverHttp(client))
        again = [*arguments, f"--grpc={address}"]
        key = KEY_METADATA[0][1].removeprefix("Bearer ")
        command = [str(PROGRAMS / "sale-service"), "sales", "watch", "--json", "--since=2026-01-01"]
        watching = subprocess.Popen(
            [*command, f"--service={address}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "SALE_SERVICE__KEY": key},
        )
        try:
            assert watching.stdout is not None
            seen = [json.loads(watching.stdout.readline())]
            program.stop()
            with running(again, tmp_path / "log") as restarted, restarted.client() as other:
                second = new_sale(OverHttp(other))
                seen.append(json.loads(watching.stdout.readline()))
                watching.send_signal(signal.SIGINT)
                _, told = watching.communicate(timeout=20)
        finally:
            watching.kill()

    assert [change["sale"]["invoiceId"] for change in seen] == [first, second]
    assert f"Go on with --cursor {seen[-1]['cursor']}" in told


def new_sale(shop: OverHttp) -> str:
    return str(shop.initiate(initiate_document(shop.request_access_token())).body["invoiceId"])


def on_a_terminal(*command: str, columns: int = 80) -> str:
    """Return what a command prints on a terminal of so many columns."""
    parent, child = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns), "SALE_SERVICE__KEY": CALLER_KEY}
    subprocess.run(command, stdout=child, check=True, env=environment, timeout=60)
    os.close(child)
    told = os.read(parent, 65536).decode()
    os.close(parent)
    return told


def test_an_id_and_a_time_are_whole_however_narrow_the_terminal_is(program: Program, shop: OverHttp) -> None:
    invoice_id = new_sale(shop)
    command = [str(PROGRAMS / "sale-service"), "sales", "list", "--limit=1", f"--service={program.grpc}"]

    usual, narrow = on_a_terminal(*command), on_a_terminal(*command, columns=30)

    row = next(line for line in usual.splitlines() if invoice_id in line)
    assert re.match(rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d  {invoice_id}  INITIATED  10\.42 EUR", row)
    assert "No room for: consumer, endpoint. A wider terminal has it, and so has --json." in usual
    assert re.search(rf"^\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d  {invoice_id} ", narrow, re.MULTILINE)
    assert "…" not in usual + narrow


def test_a_terminal_gets_a_table_that_nobodys_words_can_steer() -> None:
    script = (
        f"import sys; sys.path[:] = {sys.path}\n"
        "from service.program.printing import print_table\n"
        "print_table(('state', 'by'), [('APPROVED', 'a\\x1b[2Jb\\n'), ('[red]x', '')])"
    )

    told = on_a_terminal(sys.executable, "-c", script)

    assert "a?[2Jb?" in told
    assert "[red]x" in told
    assert "\x1b[2J" not in told
    assert "\x1b[32mAPPROVED" in told
