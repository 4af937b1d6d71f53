"""Files that hold keys are nobody else's to read, and certificates are replaced before they end."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.program.file_checks import Suspicion, suspicious_files
from gateway.program.settings import GatewaySettings, load_settings
from service.program.settings import ServiceSettings
from tests.certificates import Authority

KEY_FILES = (
    "http.tls_key",
    "http.payment_gateway.tls_key",
    "service.tls_key",
    "service.key_file",
    "grpc.tls_key",
    "store.password_file",
    "vault.keys[0].key_file",
    "endpoints[1].control_key_file",
)
NOW = datetime.now(UTC)
DAY = timedelta(days=1)
ENDPOINT = '[[endpoints]]\nid = "{}"\nprovider = "SBC"\ncurrencies = ["EUR"]\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Settings that name a file of its own wherever they can."""
    for name in ("key", "cert", "ca", *KEY_FILES):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0o600)
    both = 'tls_cert = "{0}/cert"\ntls_key = "{0}/{1}.tls_key"\n'
    path = tmp_path / "sale.toml"
    path.write_text(
        f"[http]\n{both.format(tmp_path, 'http')}"
        f'[http.payment_gateway]\nlisten = "[::1]:0"\n{both.format(tmp_path, "http.payment_gateway")}'
        f'[service]\ntls = true\nkey_file = "{tmp_path}/service.key_file"\n{both.format(tmp_path, "service")}'
        f"[grpc]\n{both.format(tmp_path, 'grpc')}"
        f'[store]\npassword_file = "{tmp_path}/store.password_file"\n'
        f'[vault]\nkeys = [{{id = "1", key_file = "{tmp_path}/vault.keys[0].key_file"}}]\n'
        f'{ENDPOINT.format(1)}control_key_file = "{tmp_path}/key"\n'
        f'{ENDPOINT.format(2)}control_key_file = "{tmp_path}/endpoints[1].control_key_file"\n'
    )
    path.chmod(0o644)
    return path


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user, as root alone can")
@pytest.mark.parametrize(("mode", "is_told"), [(0o440, False), (0o444, True)])
def test_a_file_of_another_user_is_read_by_its_group(config: Path, mode: int, is_told: bool) -> None:
    settings = load_settings(ServiceSettings, config, {})
    file = config.parent / "store.password_file"
    os.chown(file, 65534, 0)

    file.chmod(mode)

    assert bool(list(suspicious_files(settings, config, NOW))) is is_told


@pytest.mark.parametrize("name", KEY_FILES)
@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_file_with_a_key_that_others_can_read_is_told_by_its_setting(config: Path, name: str, mode: int) -> None:
    file = config.parent / name
    settings = load_settings(ServiceSettings, config, {})
    assert list(suspicious_files(settings, config, NOW)) == []

    file.chmod(mode)

    told = Suspicion("file readable by others", {"setting": name, "file": str(file)})
    assert list(suspicious_files(settings, config, NOW)) == [told]


def test_what_a_program_does_not_use_or_cannot_look_at_is_not_told(config: Path) -> None:
    for name in KEY_FILES:
        (config.parent / name).chmod(0o644)
    (config.parent / "grpc.tls_key").unlink()

    of_service = suspicious_files(load_settings(ServiceSettings, config, {}), config, NOW, unused={"service", "http"})
    of_gateway = suspicious_files(load_settings(GatewaySettings, config, {}), config, NOW)

    assert {told["setting"] for _, told in of_service} == set(KEY_FILES[5:])
    assert {told["setting"] for _, told in of_gateway} == set(KEY_FILES[:4])


@pytest.mark.parametrize(
    "text",
    [
        f'{ENDPOINT.format(1)}control_keys = ["58B2A205"]\n',
        '[vault]\nkeys = [{id = "1", key = "0f"}]\n',
        '[service]\nkey = "bearer"\n',
        '[store]\npassword = "p"\n',
        '[store]\nurl = "postgresql://sale:p@db/sale"\n',
        '[store]\nurl = "postgresql://sale@db/sale?password=p"\n',
    ],
)
def test_settings_that_others_can_read_are_told_if_a_key_is_in_them(tmp_path: Path, text: str) -> None:
    config = tmp_path / "sale.toml"
    config.write_text(text)
    config.chmod(0o644)

    for settings in (GatewaySettings(), ServiceSettings()):
        told = Suspicion("file readable by others", {"setting": "--config", "file": str(config)})
        assert list(suspicious_files(settings, config, NOW)) == [told]

    config.chmod(0o600)
    assert list(suspicious_files(GatewaySettings(), config, NOW)) == []
    config.chmod(0o644)
    config.write_text('[store]\nurl = "postgresql://sale@db/sale"\n[[callers]]\nkey_hashes = ["0f"]\n')
    assert list(suspicious_files(GatewaySettings(), config, NOW)) == []
    assert list(suspicious_files(GatewaySettings(), None, NOW)) == []


@pytest.mark.parametrize(
    ("now", "event"),
    [
        (NOW - 11 * DAY, "certificate not valid yet"),
        (NOW - 9 * DAY, None),
        (NOW + 15 * DAY, None),
        (NOW + 17 * DAY, "certificate ends soon"),
        (NOW + 29 * DAY, "certificate ends soon"),
        (NOW + 31 * DAY, "certificate has ended"),
    ],
)
def test_a_certificate_that_is_not_valid_or_not_for_long_is_told_with_its_end(
    tmp_path: Path, now: datetime, event: str | None
) -> None:
    authority = Authority(tmp_path)  # its own ends before those that it signs: only those are told
    server, key = authority.server(valid=30 * DAY)
    server.write_bytes(server.read_bytes() + authority.certificate.read_bytes())
    names = ("http", "http.payment_gateway", "service")
    config = tmp_path / "sale.toml"
    config.write_text(
        "".join(f'[{name}]\nlisten = "[::1]:0"\ntls_cert = "{server}"\ntls_key = "{key}"\n' for name in names[:2])
        + f'[service]\ntls = true\ntls_cert = "{server}"\ntls_key = "{key}"\n'
    )

    told = list(suspicious_files(load_settings(GatewaySettings, config, {}), config, now))

    assert [(each.event, each.told["setting"]) for each in told] == [
        (event, f"{name}.tls_cert") for name in names if event is not None
    ]
    for _, words in told:
        assert words["file"] == str(server)
        assert abs(datetime.fromisoformat(words["ends"]) - (NOW + 30 * DAY)) < timedelta(hours=1)
        assert abs(datetime.fromisoformat(words["begins"]) - (NOW - 10 * DAY)) < timedelta(hours=1)
