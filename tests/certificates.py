"""Certificates as an authority of the merchant's signs them, with a key in a file of its own beside each."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOST = "127.0.0.1"
_DAY = timedelta(days=1)


class CertificateFiles(NamedTuple):
    """A certificate and its private key, as PEM."""

    certificate: Path
    key: Path

    def pems(self) -> tuple[bytes, bytes]:
        """Return the key and the certificate: what `grpc.ssl_channel_credentials` takes."""
        return self.key.read_bytes(), self.certificate.read_bytes()


class Authority:
    """Signs certificates, and writes them to a folder.

    Args:
        folder: takes the files.
        name: of the authority.
    """

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        builder = _builder(self._name, self._name, self._key.public_key(), _DAY).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        signed = builder.sign(self._key, hashes.SHA256())
        self.certificate = folder / f"{name}.pem"
        """File with its own certificate, which whoever trusts it is given."""
        self.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def server(self, name: str = "server", host: str = HOST, valid: timedelta = _DAY) -> CertificateFiles:
        """Return the certificate of a server.

        Args:
            name: of the files.
            host: its address or name.
            valid: how long from now; a negative one has expired.
        """
        return self._sign(name, [_host(host)], ExtendedKeyUsageOID.SERVER_AUTH, valid)

    def client(
        self, name: str, *alternative_names: x509.GeneralName | str, valid: timedelta = _DAY
    ) -> CertificateFiles:
        """Return the certificate of a client.

        Args:
            name: of the files.
            alternative_names: of its subject; a string is a DNS name. The name of the files if there are none.
            valid: how long from now; a negative one has expired.
        """
        names = [x509.DNSName(each) if isinstance(each, str) else each for each in alternative_names or (name,)]
        return self._sign(name, names, ExtendedKeyUsageOID.CLIENT_AUTH, valid)

    def _sign(
        self, name: str, names: Sequence[x509.GeneralName], usage: x509.ObjectIdentifier, valid: timedelta
    ) -> CertificateFiles:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_named(name), self._name, key.public_key(), valid)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        files = CertificateFiles(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        files.certificate.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        files.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        files.key.chmod(0o600)
        return files


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, valid: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 10 * _DAY)
        .not_valid_after(now + valid)
    )
