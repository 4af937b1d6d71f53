"""The command that asks a program on this host whether it is ready, as a container's health check does."""

import http.client
import ssl
import sys
from ipaddress import ip_address
from pathlib import Path

import click

from gateway.program.options import config_option, http_option, one_line_errors
from gateway.program.settings import GatewaySettings, HttpSettings, load_settings
from gateway.program.values import Address

PATIENCE_SECONDS = 5.0
READY = "ready"
_WHERE_TO_LOOK = (
    ' The log of the gateway tells why: "stream to the service broken" with cause and settings, or "the service refuses'
    ' the gateway".'
)


@click.command()
@config_option
@http_option
@one_line_errors
def ready(config: Path | None, http: str | None) -> None:
    """Ask the gateway on this host whether it is ready; exit code 0 if it is, 1 if not.

    It is asked as /readyz is, with the settings of the program that serves.
    """
    settings = load_settings(GatewaySettings, config, {"http": {"listen": http}}).http
    tell_http(settings, _WHERE_TO_LOOK)


def tell_http(settings: HttpSettings, where_to_look: str = "") -> None:
    """Ask the JSON port, print `ready`, and end with exit code 1 where it is not.

    Args:
        settings: of the port.
        where_to_look: follows what it answers instead.
    """
    connection = _connection(settings)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        tell("" if answer.status == http.client.OK else answer.read().decode(errors="replace") + where_to_look)
    except (OSError, http.client.HTTPException) as error:
        tell(f"http.listen: {settings.listen} can't be asked: {error}")
    finally:
        connection.close()


def _connection(settings: HttpSettings) -> http.client.HTTPConnection:
    host, port = reachable(settings.listen)
    if settings.tls_cert is None:
        return http.client.HTTPConnection(host, port, timeout=PATIENCE_SECONDS)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # It asks its own host, and by a name that is not in the certificate.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=PATIENCE_SECONDS, context=context)


def tell(fault: str) -> None:
    """Print `ready`; or what there is instead, and end with exit code 1.

    Args:
        fault: what keeps it from serving; empty where nothing does.
    """
    click.echo(fault or READY, err=bool(fault))
    if fault:
        sys.exit(1)


def reachable(listen: Address) -> Address:
    """Return where to reach, from the same host, what listens on an address.

    Args:
        listen: the address; the unspecified one stands for all.
    """
    try:
        host = ip_address(listen.host)
    except ValueError:
        return listen
    if not host.is_unspecified:
        return listen
    return listen._replace(host="127.0.0.1" if host.version == 4 else "::1")
