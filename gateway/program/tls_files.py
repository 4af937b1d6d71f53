"""The files of a port that is served by TLS."""

import ssl
from typing import NamedTuple

from gateway.program.settings import ConfigurationError, ListenerSettings, read_file


class TlsFiles(NamedTuple):
    """What the files hold, as PEM."""

    certificate: bytes
    key: bytes
    authorities: bytes | None
    """Of clients."""


def load_files(context: ssl.SSLContext, settings: ListenerSettings, name: str) -> TlsFiles:
    """Read the files of a port, and make the context one of a server that has them.

    Args:
        context: of a server.
        settings: of the port, with a certificate.
        name: of their table.

    Raises:
        ConfigurationError: a file can't be used.
    """
    certificate = read_file(settings.tls_cert, f"{name}.tls_cert") or b""
    key = read_file(settings.tls_key, f"{name}.tls_key") or b""
    authorities = read_file(settings.client_ca, f"{name}.client_ca")
    if not _trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificate):
        raise ConfigurationError(f"{name}.tls_cert: {settings.tls_cert} is no certificate in PEM form")
    try:
        # It must never ask for a password.
        context.load_cert_chain(str(settings.tls_cert), settings.tls_key, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason is None:
            what = "is no private key in PEM form, without a password"
            raise ConfigurationError(f"{name}.tls_key: {settings.tls_key} {what}") from None
        raise ConfigurationError(f"{name}.tls_cert: does not go with {name}.tls_key: {error.reason}") from None
    if authorities is not None and not _trust(context, authorities):
        raise ConfigurationError(f"{name}.client_ca: {settings.client_ca} is no certificate in PEM form")
    return TlsFiles(certificate, key, authorities)


def _trust(context: ssl.SSLContext, certificates: bytes) -> bool:
    """Make a context trust certificates, and tell whether they are some."""
    try:
        # What is beside the certificates may be in any language.
        context.load_verify_locations(cadata=certificates.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError):
        return False
    return True
