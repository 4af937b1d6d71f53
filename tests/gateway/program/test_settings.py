"""Settings come from flags over environment over file over defaults, and a wrong one is named in one line."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.program.settings import ConfigurationError, GatewaySettings, load_settings
from gateway.program.values import Address
from service.program.settings import ServiceSettings, endpoints_of, vault_keys_of

KEY = "58B2A205-5BB5-5BCB-B37D-2F2A4276B0BD"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "sale.toml"
    path.write_text(text)
    return path


def fault(tmp_path: Path, text: str, flags: dict[str, Any] | None = None) -> str:
    with pytest.raises(ConfigurationError) as refusal:
        endpoints_of(load_settings(ServiceSettings, write(tmp_path, text), flags or {}).endpoints)
    message = str(refusal.value)
    assert "\n" not in message
    assert KEY[:8] not in message
    return message


def test_each_source_wins_over_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, '[http]\nlisten = "127.0.0.1:1"\ndeadline = "1m"\nmax_body = 2048\n')
    monkeypatch.setenv("SALE_HTTP__LISTEN", "127.0.0.1:2")
    monkeypatch.setenv("SALE_HTTP__DEADLINE", "250ms")

    settings = load_settings(GatewaySettings, file, {"http": {"listen": "[::1]:3", "service": None}, "workers": None})

    assert settings.http.listen == Address("::1", 3)
    assert str(settings.http.listen) == "[::1]:3"
    assert settings.http.deadline == timedelta(milliseconds=250)
    assert settings.http.max_body == 2048
    assert settings.http.service == Address("127.0.0.1", 50051)
    assert settings.workers == 1


def test_the_gateway_lets_the_services_tables_pass_and_the_service_reads_the_gateways(tmp_path: Path) -> None:
    text = '[http]\nservice = "a:1"\n[store]\nurl = "sqlite:///x"\n[[endpoints]]\nid = "1"\nprovider = "SBC"\n'
    file = write(tmp_path, text + f'control_keys = ["{KEY}"]\ncurrencies = ["EUR"]\n')

    assert load_settings(GatewaySettings, file, {}).http.service == Address("a", 1)
    assert load_settings(ServiceSettings, file, {}).store.path == Path("x")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('[http]\nlisten = "8080"\n', "http.listen"),
        ('[http]\ndeadline = "0s"\n', "http.deadline"),
        ("[http]\nmax_body = 1\n", "http.max_body"),
        ("[http.limits]\nhead = 1\n", "http.limits.head"),
        ("[http.limits]\nin_flight = 0\n", "http.limits.in_flight"),
        ('[http.limits]\nreceive = "0s"\n', "http.limits.receive"),
        ('[http]\ntrusted_proxies = ["10.0.0.1/8"]\n', "http.trusted_proxies[0]"),
        ('[http.payment_gateway]\ntls_cert = "x"\n', "http.payment_gateway.listen"),
        ('[http.payment_gateway]\nlisten = "127.0.0.1:0"\ntls_cert = "x"\n', "http.payment_gateway"),
        ('[http]\nlissen = "127.0.0.1:1"\n', "http.lissen"),
        ("workers = 0\n", "workers"),
        ('colour = "red"\n', "colour"),
        ('[access_tokens]\nmode = "some"\n', "access_tokens.mode"),
        ('[store]\nurl = "mysql://x"\n', "store.url"),
        ("", "endpoints"),
        (f'[[endpoints]]\nid = "1"\nprovider = "SBC"\ncontrol_keys = ["{KEY}"]\n', "endpoints[0].currencies"),
        ("not toml", "--config"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(tmp_path: Path, text: str, name: str) -> None:
    assert fault(tmp_path, text).startswith(f"{name}: ")


@pytest.mark.parametrize("network", ["10.0.0.1/8", "10.0.0.0/33", "example.com", ""])
def test_a_wrong_network_is_told_in_the_same_words_wherever_it_is(tmp_path: Path, network: str) -> None:
    endpoint = f'[[endpoints]]\nid = "1"\nprovider = "SBC"\ncontrol_keys = ["{KEY}"]\ncurrencies = ["EUR"]\n'
    of_endpoint = f'{endpoint}payment_gateway = {{addresses = ["{network}"]}}\n'
    words = "must be an address or a network, as in 10.0.0.1 or 10.0.0.0/8"

    assert fault(tmp_path, of_endpoint) == f"endpoints[0].payment_gateway.addresses[0]: {words}"
    assert fault(tmp_path, f'[http]\ntrusted_proxies = ["{network}"]\n') == f"http.trusted_proxies[0]: {words}"


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (f'control_keys = ["{KEY}", "{KEY}x"]', "endpoints[0].control_keys[1]"),
        ("", "endpoints[0]"),
        (f'control_keys = ["{KEY}"]\ncontrol_key_file = "keys"', "endpoints[0]"),
        ('control_key_file = "/no/such/file"', "endpoints[0].control_key_file"),
    ],
)
def test_a_wrong_control_key_is_named_and_never_told(tmp_path: Path, keys: str, name: str) -> None:
    text = f'[[endpoints]]\nid = "1"\nprovider = "SBC"\ncurrencies = ["EUR"]\n{keys}\n'

    assert fault(tmp_path, text).startswith(f"{name}: ")


def test_control_keys_can_be_in_a_file(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"{KEY}\n{KEY[::-1]}\n")
    text = f'[[endpoints]]\nid = "1"\nprovider = "SBC"\ncurrencies = ["EUR"]\ncontrol_key_file = "{keys}"\n'

    (endpoint,) = endpoints_of(load_settings(ServiceSettings, write(tmp_path, text), {}).endpoints)

    assert [key.written for key in endpoint.control_keys] == [KEY, KEY[::-1]]


def test_settings_do_not_show_their_keys(tmp_path: Path) -> None:
    text = f'[[endpoints]]\nid = "1"\nprovider = "SBC"\ncurrencies = ["EUR"]\ncontrol_keys = ["{KEY}"]\n'

    assert KEY not in repr(load_settings(ServiceSettings, write(tmp_path, text), {}))


VAULT_KEY = "0f" * 32
WHOLE = f'id = "1", key = "{VAULT_KEY}"'


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ('[{id = "1"}]', "vault.keys[0]: key: must be set, or key_file instead"),
        (f'[{{{WHOLE}, key_file = "x"}}]', "vault.keys[0]: key: must be set, or key_file instead"),
        ('[{id = "1", key = "0f0f"}]', "vault.keys[0].key: must be 64 hexadecimal digits"),
        (f'[{{id = "1", key = "{"xy" * 32}"}}]', "vault.keys[0].key: must be 64 hexadecimal digits"),
        ('[{id = "1", key_file = "/no/such"}]', "vault.keys[0].key_file: /no/such: No such file or directory"),
        (f"[{{{WHOLE}}}, {{{WHOLE}}}]", "vault.keys[1].id: 1 is there twice"),
        (f'[{{id = "a b", key = "{VAULT_KEY}"}}]', "vault.keys[0].id: must be 1 to 64 letters, digits, dots, "),
    ],
)
def test_a_wrong_vault_key_is_named_and_never_told(tmp_path: Path, keys: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        vault_keys_of(load_settings(ServiceSettings, write(tmp_path, f"[vault]\nkeys = {keys}\n"), {}).vault)

    assert str(error.value).startswith(told)
    assert VAULT_KEY not in str(error.value)


def test_a_vault_key_can_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{VAULT_KEY}\n")
    text = f'[vault]\nkeys = [{{id = "1", key_file = "{tmp_path / "key"}"}}]\n'

    (key,) = vault_keys_of(load_settings(ServiceSettings, write(tmp_path, text), {}).vault)

    assert (key.id, key.secret) == ("1", bytes.fromhex(VAULT_KEY))


@pytest.mark.parametrize("limits", ["{min = 0, max = 9}", "{min = 9, max = 9}", "{min = 9, max = 1}"])
def test_a_random_sum_has_limits_that_leave_a_choice(tmp_path: Path, limits: str) -> None:
    text = (
        '[[endpoints]]\nid = "1"\nprovider = "SBC"\ncurrencies = ["EUR"]\n'
        f'control_keys = ["{KEY}"]\nrandom_sum_centis = {limits}\n'
    )

    assert fault(tmp_path, text).startswith("endpoints[0].random_sum_centis: ")
