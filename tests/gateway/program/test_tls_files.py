"""What is wrong with the file of a certificate is told by the name of its setting."""

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from gateway.program.settings import ConfigurationError, ListenerSettings
from gateway.program.tls_files import TlsFiles, load_files
from tests.certificates import Authority, CertificateFiles


def load(**files: Path) -> TlsFiles:
    settings = ListenerSettings.model_validate({"listen": "127.0.0.1:0", **files})
    return load_files(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), settings, "grpc")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> CertificateFiles:
    return authority.server()


@pytest.fixture(scope="module")
def wrong(server: CertificateFiles, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wrong")
    key = load_pem_private_key(server.key.read_bytes(), None)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password"))
    contents = {
        "nonsense": b"nonsense",
        "empty": b"",
        "der": ssl.PEM_cert_to_DER_cert(server.certificate.read_text()),
        "encrypted": encrypted,
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in contents} | {"key": server.key, "certificate": server.certificate}


@pytest.mark.parametrize("name", ["nonsense", "empty", "der", "key"])
def test_a_file_without_a_certificate_is_told(server: CertificateFiles, wrong: dict[str, Path], name: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(tls_cert=wrong[name], tls_key=server.key)
    assert str(refused.value) == f"grpc.tls_cert: {wrong[name]} is no certificate in PEM form"

    with pytest.raises(ConfigurationError) as refused:
        load(tls_cert=server.certificate, tls_key=server.key, client_ca=wrong[name])
    assert str(refused.value) == f"grpc.client_ca: {wrong[name]} is no certificate in PEM form"


@pytest.mark.parametrize("name", ["nonsense", "empty", "encrypted", "certificate"])
def test_a_file_without_a_key_is_told(server: CertificateFiles, wrong: dict[str, Path], name: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(tls_cert=server.certificate, tls_key=wrong[name])

    assert str(refused.value) == f"grpc.tls_key: {wrong[name]} is no private key in PEM form, without a password"


def test_the_key_of_another_certificate_is_told(authority: Authority, server: CertificateFiles) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(tls_cert=server.certificate, tls_key=authority.server("other").key)

    assert str(refused.value) == "grpc.tls_cert: does not go with grpc.tls_key: KEY_VALUES_MISMATCH"


def test_a_file_that_is_not_there_is_told(server: CertificateFiles) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(tls_cert=server.certificate, tls_key=Path("/no/such"))

    assert str(refused.value) == "grpc.tls_key: /no/such: No such file or directory"


def test_what_is_beside_a_certificate_does_no_harm(
    authority: Authority, server: CertificateFiles, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    told.write_bytes("Сервер\n".encode() + server.certificate.read_bytes() + authority.certificate.read_bytes())

    files = load(tls_cert=told, tls_key=server.key, client_ca=authority.certificate)

    assert files == (told.read_bytes(), server.key.read_bytes(), authority.certificate.read_bytes())
