"""The sandbox payment gateway of development mode."""

import socket
from collections.abc import Iterable

import click

from gateway.parties.development import SANDBOX
from gateway.program.http_ports import HttpSockets
from gateway.program.listening import bound_address
from gateway.program.parameters import address
from gateway.program.sandbox import bind_sandbox
from gateway.program.settings import ConfigurationError
from gateway.program.values import Address
from gateway.sandbox.callbacks import Schedule
from gateway.sandbox.server import SandboxServer
from gateway.sandbox.thread import SandboxThread
from service.endpoints import Endpoint
from service.program.settings import ServiceSettings

_OPTION = "--sandbox"
_TIMEOUT_SECONDS = 20.0


def open_sandbox(
    settings: ServiceSettings, endpoints: Iterable[Endpoint], sockets: HttpSockets, listen: str | None
) -> SandboxThread | None:
    """Bind the port of a sandbox that knows the server's endpoints and their control keys.

    Args:
        settings: of the server.
        endpoints: of the server.
        sockets: of the JSON gateway.
        listen: where, as HOST:PORT; None for the usual port, or where that is taken for any that is free.

    Returns:
        What is to be started once the server serves; None if that has TLS, with a certificate that nobody else trusts.

    Raises:
        ConfigurationError: the port can't be bound, or others would reach it.
    """
    target = sockets.payment_gateway or sockets.main
    if list(settings.http.listeners().values())[-1].tls_cert is not None:
        return None
    keys = {endpoint.id: [key.written for key in endpoint.control_keys] for endpoint in endpoints}
    listener = _bind_usual() if listen is None else bind_sandbox(_address(listen), _OPTION)

    def create() -> SandboxServer:
        base_url = f"http://{bound_address(target)}"
        return SandboxServer(listener, base_url, keys, Schedule(), timeout_seconds=_TIMEOUT_SECONDS)

    return SandboxThread(str(bound_address(listener)), create)


def _address(text: str) -> Address:
    try:
        return address(text)
    except click.BadParameter as error:
        raise ConfigurationError(f"{_OPTION}: {error.message}") from None


def _bind_usual() -> socket.socket:
    usual = address(SANDBOX)
    try:
        return bind_sandbox(usual, _OPTION)
    except ConfigurationError:
        return bind_sandbox(usual._replace(port=0), _OPTION)
