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
from gateway.program import metrics_port
from gateway.program.listening import bind
from gateway.program.settings import ConfigurationError, ListenerSettings
from gateway.program.values import Address
from service.program.doctor.findings import Finding, Grade
from service.program.settings import ServiceSettings

_SECONDS = 2.0
_MAX_BYTES = 1 << 22
_BESIDE = "another server answers there: this one can't start beside it"
_OTHER = "Stop what listens there, or listen elsewhere."
_RELOAD = "Send the server SIGHUP, so that it reads the file again."


def listeners_of(settings: ServiceSettings) -> dict[str, ListenerSettings]:
    """Return all ports by the names of their tables.

    Args:
        settings: of the program.
    """
    return {**settings.http.listeners(), "grpc": settings.grpc, **settings.listeners()}


def check_ports(settings: ServiceSettings) -> Iterator[Finding]:
    """Tell of each port whether it is free, or served by a server that is ready.

    Args:
        settings: of the program.
    """
    has_served = settings.store.path is None or settings.store.path.exists()
    for name, listener in listeners_of(settings).items():
        check = f"{name}.listen"
        try:
            _require_free(listener.listen, check)
        except ConfigurationError as error:
            asked = _asked(listener, name, str(error))
            # A server of this configuration would have made the store when it started.
            is_ours = has_served or asked.grade is Grade.FAIL
            yield asked if is_ours else Finding(check, Grade.WARN, f"{_reached(listener.listen)}: {_BESIDE}", _OTHER)
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
            return Finding(check, Grade.OK, f"{where} is served by a server that runs, with our certificate")
    answer = _answer(listener, name, where)
    match answer:
        case None:
            return Finding(check, Grade.FAIL, taken, _OTHER)
        case "":
            return Finding(check, Grade.OK, f"{where} is served by a server that runs, and ready")
    return Finding(
        check, Grade.WARN, f"{where} is served by a server that is not ready: {answer}", "Look into the server's log."
    )


def _reached(address: Address) -> Address:
    return address._replace(host={"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host))  # noqa: S104


def _answer(listener: ListenerSettings, name: str, where: Address) -> str | None:
    """Ask a port; return what its server lacks, nothing if that is nothing, and None if it is none of ours."""
    if name == "grpc":
        return _grpc_health(where)
    if name == "metrics":
        return _metrics(where, tls=listener.tls_cert is not None)
    return _readiness(where, tls=listener.tls_cert is not None)


def _readiness(where: Address, *, tls: bool) -> str | None:
    status, text = _got(where, Ready.path, tls=tls)
    if status == http.client.OK:
        return "" if '"ready"' in text else None
    return f"HTTP {status}" if '"error"' in text and '"code"' in text else None


def _metrics(where: Address, *, tls: bool) -> str | None:
    status, text = _got(where, metrics_port.PATH, tls=tls)
    return "" if status == http.client.OK and "sale_build_info" in text else None


def _got(where: Address, path: str, *, tls: bool) -> tuple[int, str]:
    """Return the status and the text of an answer; 0 and nothing if there is none."""
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # its certificate was compared before
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(*where, timeout=_SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection(*where, timeout=_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read(_MAX_BYTES).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()


def _grpc_health(where: Address) -> str | None:
    """As `_answer`, of a gRPC port without TLS."""
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
