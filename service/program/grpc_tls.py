"""The certificate of the gRPC port, which can be replaced while it is served."""

import ssl

import grpc

from gateway.program.tls_files import load_files
from service.program.settings import GrpcSettings

_Configuration = grpc.ServerCertificateConfiguration


class GrpcTls:
    """Reads the files of the settings, and gives gRPC what they hold; connections that there are stay as they are.

    gRPC takes TLS 1.2 and 1.3, and of their suites those with forward secrecy and authenticated encryption.

    Args:
        settings: of the port, with a certificate.

    Raises:
        ConfigurationError: a file can't be used.
    """

    def __init__(self, settings: GrpcSettings) -> None:
        self._settings = settings
        self._configuration = self.read()
        self._is_new = False

    def credentials(self) -> grpc.ServerCredentials:
        """Return with what the port is served."""
        return grpc.dynamic_ssl_server_credentials(
            self._configuration,
            self._newer,  # type: ignore[arg-type]  # the stubs leave None out
            require_client_authentication=self._settings.client_ca is not None,
        )

    def read(self) -> _Configuration:
        """Read the files.

        Raises:
            ConfigurationError: one can't be used.
        """
        # gRPC would find out at the first handshake what is wrong.
        files = load_files(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self._settings, "grpc")
        return grpc.ssl_server_certificate_configuration([(files.key, files.certificate)], files.authorities)

    def use(self, configuration: _Configuration) -> None:
        """Make the handshakes from now on with another one.

        Args:
            configuration: as `read` returned it.
        """
        self._configuration = configuration
        self._is_new = True

    def _newer(self) -> _Configuration | None:
        # Asked at every handshake; with a configuration gRPC prepares everything anew.
        if not self._is_new:
            return None
        self._is_new = False
        return self._configuration
