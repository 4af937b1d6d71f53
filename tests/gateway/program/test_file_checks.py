"""Files that hold keys are nobody else's to read."""

from pathlib import Path

import pytest

from gateway.program.file_checks import Suspicion, suspicious_files
from gateway.program.settings import GatewaySettings, load_settings
from service.program.settings import ServiceSettings

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


@pytest.mark.parametrize("name", KEY_FILES)
@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_file_with_a_key_that_others_can_read_is_told_by_its_setting(config: Path, name: str, mode: int) -> None:
    file = config.parent / name
    settings = load_settings(ServiceSettings, config, {})
    assert list(suspicious_files(settings, config)) == []

    file.chmod(mode)

    told = Suspicion("file readable by others", {"setting": name, "file": str(file)})
    assert list(suspicious_files(settings, config)) == [told]


def test_what_a_program_does_not_use_or_cannot_look_at_is_not_told(config: Path) -> None:
    for name in KEY_FILES:
        (config.parent / name).chmod(0o644)
    (config.parent / "grpc.tls_key").unlink()

    of_service = suspicious_files(load_settings(ServiceSettings, config, {}), config, unused={"service", "http"})
    of_gateway = suspicious_files(load_settings(GatewaySettings, config, {}), config)

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
        assert list(suspicious_files(settings, config)) == [told]

    config.chmod(0o600)
    assert list(suspicious_files(GatewaySettings(), config)) == []
    config.chmod(0o644)
    config.write_text('[store]\nurl = "postgresql://sale@db/sale"\n[[callers]]\nkey_hashes = ["0f"]\n')
    assert list(suspicious_files(GatewaySettings(), config)) == []
    assert list(suspicious_files(GatewaySettings(), None)) == []
