"""The certificate of an HTTP port, which can be replaced while it is served."""

import ssl

from gateway.program.settings import ListenerSettings
from gateway.program.tls_files import load_files

# Of TLS 1.2: forward secrecy and authenticated encryption, as Mozilla's "intermediate" without finite-field
# Diffie-Hellman. TLS 1.3 has no others.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class HttpTls:
    """Reads the files of the settings; connections that there are stay as they are.

    Args:
        settings: of the port, with a certificate.
        name: of their table.
        requires_client_certificate: whether a client without one is refused, where `client_ca` is set.

    Raises:
        ConfigurationError: a file can't be used.
    """

    def __init__(self, settings: ListenerSettings, name: str, *, requires_client_certificate: bool) -> None:
        self._settings = settings
        self._name = name
        self._verify = ssl.CERT_REQUIRED if requires_client_certificate else ssl.CERT_OPTIONAL
        self._context = self.read()

    def context(self) -> ssl.SSLContext:
        """Return with what to make a handshake now."""
        return self._context

    def use(self, context: ssl.SSLContext) -> None:
        """Make the handshakes from now on with another one.

        Args:
            context: as `read` returned it.
        """
        self._context = context

    def read(self) -> ssl.SSLContext:
        """Read the files.

        Raises:
            ConfigurationError: one can't be used.
        """
        settings, name = self._settings, self._name
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_CIPHERS)
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        if settings.client_ca is not None:
            context.verify_mode = self._verify
        load_files(context, settings, name)
        return context
