"""`config show` tells what counts and where it comes from; a secret is shown by nothing."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from gateway.program import cli as gateway_cli
from gateway.program.settings import ConfigurationError, load_settings, without_password
from service.callers import ROLES, Caller, Credentials
from service.program import cli as service_cli
from service.program.settings import ServiceSettings, callers_of, endpoints_of, vault_keys_of
from tests.merchant import SBC

IN_URL, IN_QUERY, PASSWORD = "canary-in-the-url", "canary-in-the-query", "canary-of-the-store"
VAULT_KEY, HASH, BEARER = "c0" * 32, "ca" * 32, "canary-bearer-key"
CANARIES = (IN_URL, IN_QUERY, PASSWORD, VAULT_KEY, HASH, BEARER, SBC.control_key)
FILE = f"""
[http]
deadline = "1m"
[store]
url = "postgresql://sale:{IN_URL}@db1,db2:5433/sale?sslmode=require&password={IN_QUERY}"
password = "{PASSWORD}"
[vault]
keys = [{{id = "2026", key = "{VAULT_KEY}"}}]
[[callers]]
name = "merchant"
roles = ["reader"]
key_hashes = ["{HASH}"]
[[endpoints]]
id = "25110"
provider = "SBC"
control_keys = ["{SBC.control_key}"]
currencies = ["USD", "EUR"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sale.toml"
    path.write_text(FILE)
    return path


def show(program: click.Group, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    shown = CliRunner().invoke(program, ["config", "show", *arguments], env=dict(env or {}))
    assert shown.exit_code == 0, shown.output
    return shown.output


def settings_of(output: str) -> dict[str, tuple[Any, str]]:
    return {each["name"]: (each["value"], each["source"]) for each in json.loads(output)}


def test_every_setting_is_shown_with_its_source(file: Path) -> None:
    environment = {"SALE_HTTP__MAX_BODY": "2048", "sale_sessions": '{"ttl": "1h"}', "SALE_SERVICE__KEY": BEARER}
    arguments = ("--json", f"--config={file}", "--http=[::1]:1", "--workers=2")

    shown = settings_of(show(service_cli.main, *arguments, env=environment))

    assert shown["http.listen"] == ("[::1]:1", "flag --http")
    assert shown["workers"] == (2, "flag --workers")
    assert shown["http.max_body"] == (2048, "environment SALE_HTTP__MAX_BODY")
    assert shown["sessions.ttl"] == ("1h", "environment sale_sessions")
    assert shown["service.key"] == ("[redacted]", "environment SALE_SERVICE__KEY")
    assert shown["http.deadline"] == ("1m", f"file {file}")
    assert shown["endpoints[0].currencies"] == (["EUR", "USD"], f"file {file}")
    assert shown["endpoints[0].control_keys[0]"] == ("[redacted]", f"file {file}")
    assert shown["callers[0].key_hashes[0]"] == ("[redacted]", f"file {file}")
    assert shown["vault.keys[0].id"] == ("2026", f"file {file}")
    url = "postgresql://sale:[redacted]@db1,db2:5433/sale?sslmode=require&password=[redacted]"
    assert shown["store.url"] == (url, f"file {file}")
    assert shown["store.statement_timeout"] == ("3s", "default")
    assert shown["housekeeping.retention"] == (None, "default")


def test_what_a_table_of_an_array_does_not_set_is_the_default(file: Path) -> None:
    file.write_text(FILE + "[endpoints.payment_gateway]\ncertificates = []\n")
    of_file = settings_of(show(service_cli.main, "--json", f"--config={file}"))
    name, written = "SALE_ENDPOINTS", '[{"id": "1", "provider": "SBC", "currencies": ["EUR"], "control_key_file": "k"}]'
    of_environment = settings_of(show(service_cli.main, "--json", f"--config={file}", env={name: written}))

    assert of_file["endpoints[0].provider"] == ("SBC", f"file {file}")
    assert of_file["endpoints[0].min_centis"] == (1, "default")
    assert of_file["endpoints[0].control_key_file"] == (None, "default")
    assert of_file["endpoints[0].payment_gateway.certificates"] == ([], f"file {file}")
    assert of_file["endpoints[0].payment_gateway.addresses"] == ([], "default")
    assert of_file["callers[0].roles[0]"] == ("reader", f"file {file}")
    assert of_file["callers[0].certificate"] == (None, "default")
    assert of_file["vault.keys[0].key_file"] == (None, "default")
    assert of_environment["endpoints[0].control_key_file"] == ("k", f"environment {name}")
    assert of_environment["endpoints[0].control_keys"] == ([], "default")  # the file's don't count


def test_the_gateway_shows_its_own(file: Path) -> None:
    shown = settings_of(show(gateway_cli.main, "--json", f"--config={file}", "--service=inside:1"))

    assert shown["http.service"] == ("inside:1", "flag --service")
    assert shown["http.deadline"] == ("1m", f"file {file}")
    assert not any(name.startswith(("store", "vault", "endpoints")) for name in shown)


def test_it_is_read_by_people_too(file: Path) -> None:
    assert f'http.deadline = "1m"  # file {file}' in show(service_cli.main, f"--config={file}").splitlines()


@pytest.mark.parametrize("program", [service_cli.main, gateway_cli.main])
def test_no_secret_is_shown(file: Path, program: click.Group) -> None:
    for arguments in ((), ("--json",)):
        shown = show(program, f"--config={file}", *arguments, env={"SALE_SERVICE__KEY": BEARER})
        assert not [canary for canary in CANARIES if canary in shown]


def test_neither_settings_nor_keys_show_a_secret_of_theirs(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALE_SERVICE__KEY", BEARER)
    settings = load_settings(ServiceSettings, file, {})
    things = [settings, endpoints_of(settings.endpoints), vault_keys_of(settings.vault), callers_of(settings)]
    things += [
        Caller("a", frozenset(ROLES.values()), None, frozenset({bytes.fromhex(HASH)})),
        Credentials(bytes.fromhex(HASH)),
    ]
    for thing in (*things, *settings.callers, settings.store, settings.vault):
        text = f"{thing!r} {thing}".lower()
        for canary in CANARIES:
            assert canary.lower() not in text
            assert str(bytes.fromhex(HASH)) not in text


@pytest.mark.parametrize(
    "wrong",
    [
        FILE.replace("sslmode=require", "host=x"),
        FILE.replace("/sale?", "/sa@le?"),
        FILE.replace(VAULT_KEY, VAULT_KEY[1:]),
        FILE.replace(HASH, HASH[1:]),
        FILE.replace(SBC.control_key, SBC.control_key[1:]),
        FILE.replace(f'password = "{PASSWORD}"', f'password = ["{PASSWORD}"]'),
        FILE.replace(f'"{PASSWORD}"', PASSWORD),
        FILE + f'control_key_file = "{SBC.control_key}"\n',
    ],
)
def test_no_secret_is_told_with_what_is_wrong(file: Path, wrong: str) -> None:
    file.write_text(wrong)

    def read() -> None:
        settings = load_settings(ServiceSettings, file, {})
        callers_of(settings)
        endpoints_of(settings.endpoints)
        vault_keys_of(settings.vault)

    with pytest.raises(ConfigurationError) as error:
        read()

    assert not [canary for canary in CANARIES if canary[1:] in str(error.value)]
    assert "\n" not in str(error.value)


def test_help_shows_nothing_of_the_environment() -> None:
    environment = {"SALE_STORE__PASSWORD": PASSWORD, "SALE_SERVICE__KEY": BEARER, "SALE_STORE__URL": IN_URL}
    for arguments in (("serve", "--help"), ("config", "show", "--help"), ("audit", "verify", "--help")):
        told = CliRunner().invoke(service_cli.main, arguments, env=environment).output
        assert "Usage: " in told
        assert not [canary for canary in CANARIES if canary in told]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:p:w@h/d", "postgresql://u:[redacted]@h/d"),
        ("postgresql://:p@h/d", "postgresql://:[redacted]@h/d"),
        ("postgresql://u:p/w@h/d", "postgresql://u:[redacted]@h/d"),
        ("postgresql://u:p@s:w@rd@h/d", "postgresql://u:[redacted]@h/d"),
        ("postgresql://u@h/d?a=1&sslpassword=x&b=2", "postgresql://u@h/d?a=1&sslpassword=[redacted]&b=2"),
        ("sqlite:///var/sale.db", "sqlite:///var/sale.db"),
        ("127.0.0.1:1", "127.0.0.1:1"),
    ],
)
def test_a_password_in_a_url_is_not_shown(text: str, shown: str) -> None:
    assert without_password(text) == shown
