"""How a program of the merchant's reaches the service over gRPC: by which credentials, and as whom."""

import re
from collections.abc import Sequence

import grpc

from gateway.program.settings import ConfigurationError, ServiceAccessSettings, read_file

_BEARER_KEY = re.compile(rb"[!-~]{16,}")


def credentials_of(access: ServiceAccessSettings) -> grpc.ChannelCredentials | None:
    """Return the credentials of a channel; None for one without TLS.

    Raises:
        ConfigurationError: a file can't be read.
    """
    if not access.tls:
        return None
    return grpc.ssl_channel_credentials(
        read_file(access.tls_ca, "service.tls_ca"),
        read_file(access.tls_key, "service.tls_key"),
        read_file(access.tls_cert, "service.tls_cert"),
    )


def authorization_of(access: ServiceAccessSettings) -> Sequence[tuple[str, str]]:
    """Return the metadata that goes with every call; nothing where a certificate, or nobody, is asked for.

    Raises:
        ConfigurationError: the key can't be read, or is none.
    """
    key = access.key.get_secret_value().encode() if access.key else read_file(access.key_file, "service.key_file")
    if key is None:
        return ()
    if not _BEARER_KEY.fullmatch(key.strip()):
        raise ConfigurationError("service.key: must be printable ASCII characters, 16 at least")
    return [("authorization", f"Bearer {key.strip().decode()}")]
