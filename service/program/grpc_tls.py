"""The certificate of the gRPC port, which can be replaced while it is served."""

import ssl

import grpc

from gateway.program.settings import ConfigurationError, read_file
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
        self._configuration = self._read()
        self._is_new = False

    def credentials(self) -> grpc.ServerCredentials:
        """Return with what the port is served."""
        return grpc.dynamic_ssl_server_credentials(
            self._configuration,
            self._newer,  # type: ignore[arg-type]  # the stubs leave None out
            require_client_authentication=self._settings.client_ca is not None,
        )

    def read_again(self) -> None:
        """Read the files again, for the connections to come.

        Raises:
            ConfigurationError: one can't be used; then they get what was read before.
        """
        self._configuration = self._read()
        self._is_new = True

    def _newer(self) -> _Configuration | None:
        # Asked at every handshake; with a configuration gRPC prepares everything anew.
        if not self._is_new:
            return None
        self._is_new = False
        return self._configuration

    def _read(self) -> _Configuration:
        settings = self._settings
        certificate = read_file(settings.tls_cert, "grpc.tls_cert") or b""
        key = read_file(settings.tls_key, "grpc.tls_key") or b""
        authorities = read_file(settings.client_ca, "grpc.client_ca")
        try:
            # gRPC would find out at the first handshake.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(str(settings.tls_cert), settings.tls_key, password=lambda: "")  # never asks for one
        except ssl.SSLError as error:
            raise ConfigurationError(f"grpc.tls_cert: does not go with grpc.tls_key: {error.reason}") from None
        try:
            if authorities is not None:
                context.load_verify_locations(cadata=authorities.decode("ascii"))
        except (ssl.SSLError, UnicodeDecodeError):
            raise ConfigurationError(f"grpc.client_ca: {settings.client_ca}: is no certificate as PEM") from None
        return grpc.ssl_server_certificate_configuration([(key, certificate)], authorities)
