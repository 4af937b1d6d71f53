"""Checks of the ports: free, or served by us and ready."""

import http.client
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from gateway.health import Ready
from gateway.program.listening import bind
from gateway.program.settings import ConfigurationError, ListenerSettings
from gateway.program.values import Address
from service.program.doctor.findings import Finding, Grade
from service.program.settings import ServiceSettings

_SECONDS = 2.0
_OTHER = "Stop what listens there, or listen elsewhere."
_RELOAD = "Send the server SIGHUP, so that it reads the file again."


def check_ports(settings: ServiceSettings) -> Iterator[Finding]:
    """Tell of each port whether it is free, or served by a server that is ready.

    Args:
        settings: of the program.
    """
    for name, listener in {**settings.http.listeners(), "grpc": settings.grpc}.items():
        check = f"{name}.listen"
        try:
            _require_free(listener.listen, check)
        except ConfigurationError as error:
            yield _asked(listener, name, str(error))
        else:
            yield Finding(check, Grade.OK, f"{listener.listen} is free")


def _require_free(address: Address, setting: str) -> None:
    with bind(address, setting) as bound:
        # Bound beside a socket that listens with SO_REUSEPORT it may be, but not listened on.
        try:
            bound.listen(1)
        except OSError as error:
            raise ConfigurationError(f"{setting}: can't listen on {address}: {error.strerror}") from None


def _asked(listener: ListenerSettings, name: str, taken: str) -> Finding:
    check = f"{name}.listen"
    where = _reached(listener.listen)
    if listener.tls_cert is not None and (served := _served_certificate(where)) is not None:
        if served != _first_certificate(listener.tls_cert):
            what = f"{where} is served with another certificate than {listener.tls_cert} holds"
            return Finding(check, Grade.WARN, what, _RELOAD)
        if listener.client_ca is not None or name == "grpc":
            return Finding(check, Grade.OK, f"{where} is served with our certificate")
    answer = _grpc_health(where) if name == "grpc" else _readiness(where, tls=listener.tls_cert is not None)
    match answer:
        case None:
            return Finding(check, Grade.FAIL, taken, _OTHER)
        case "":
            return Finding(check, Grade.OK, f"{where} is served, and ready")
    return Finding(check, Grade.WARN, f"{where} is served, and not ready: {answer}", "Look into the server's log.")


def _reached(address: Address) -> Address:
    return address._replace(host={"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host))  # noqa: S104


def _readiness(where: Address, *, tls: bool) -> str | None:
    """Ask a JSON gateway; return what it lacks, nothing if that is nothing, and None if it is none of ours."""
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # its certificate was compared before
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(*where, timeout=_SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection(*where, timeout=_SECONDS)
    try:
        connection.request("GET", Ready.path)
        response = connection.getresponse()
        text = response.read(65536).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    if response.status == http.client.OK:
        return "" if '"ready"' in text else None
    return f"HTTP {response.status}" if '"error"' in text and '"code"' in text else None


def _grpc_health(where: Address) -> str | None:
    """As `_readiness`, of a gRPC port without TLS."""
    with grpc.insecure_channel(str(where)) as channel:
        health: Any = HealthStub(channel)
        try:
            status = health.Check(HealthCheckRequest(), timeout=_SECONDS).status
        except grpc.RpcError:
            return None
    return "" if status == HealthCheckResponse.SERVING else HealthCheckResponse.ServingStatus.Name(status)


def _served_certificate(where: Address) -> bytes | None:
    with suppress(OSError, ssl.SSLError):
        return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(where, timeout=_SECONDS))
    return None


def _first_certificate(path: Path) -> bytes | None:
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415  # only with TLS
    from cryptography.x509 import load_pem_x509_certificate  # noqa: PLC0415

    with suppress(OSError, ValueError):
        return load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)
    return None
