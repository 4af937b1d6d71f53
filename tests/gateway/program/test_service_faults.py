"""What gRPC says of a service that can't be reached, in words for whoever has to mend it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from gateway.program.service_faults import cause_of
from gateway.program.values import Address
from tests.certificates import Authority

ADVICE = "name the host as the certificate does"


@pytest.mark.parametrize(
    ("trusted", "host", "cause"),
    [
        (
            "authority",
            "shop.example",
            "the certificate there is not for 127.0.0.1: name the host as the certificate does",
        ),
        ("other", "127.0.0.1", "the certificate there is not trusted: unable to get local issuer certificate"),
        (None, "127.0.0.1", "the connection was closed, by a service that ended or one that takes TLS only"),
    ],
)
def test_the_cause_is_told_in_words(tmp_path: Path, trusted: str | None, host: str, cause: str) -> None:
    files = Authority(tmp_path).server(host=host)
    server = grpc.server(ThreadPoolExecutor(1))
    key, certificate = files.key.read_bytes(), files.certificate.read_bytes()
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
    server.start()
    try:
        assert told(port, tmp_path, trusted) == cause
    finally:
        server.stop(0).wait()


def test_a_port_without_tls_or_without_anybody_is_told(tmp_path: Path) -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        assert told(port, tmp_path, "authority") == "no TLS is spoken there"
    finally:
        server.stop(0).wait()
    assert "Connection refused" in told(port, tmp_path, None)


def told(port: int, folder: Path, trusted: str | None) -> str:
    """Return the cause for which a call is not answered, made with trust in an authority, or without TLS."""
    address = Address("127.0.0.1", port)
    if trusted is None:
        channel = grpc.insecure_channel(str(address))
    else:
        path = folder / f"{trusted}.pem"
        authority = path if path.exists() else Authority(folder, trusted).certificate
        channel = grpc.secure_channel(str(address), grpc.ssl_channel_credentials(authority.read_bytes()))
    call: Any = channel.unary_unary("/a.B/C")
    with channel, pytest.raises(grpc.RpcError) as failed:
        call(b"", timeout=10)
    return cause_of(failed.value, address)
