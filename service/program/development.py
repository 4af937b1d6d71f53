"""Development mode: the whole product without configuration, on loopback only."""

import errno
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.pages import Development
from gateway.parties.development import CONTROL_KEY, ENDPOINT_ID, SANDBOX, SERVER
from gateway.program.settings import ConfigurationError, ListenerSettings
from gateway.program.values import Address
from service.callers import ROLES, Caller
from service.program.settings import EndpointSettings, ServiceSettings

DEVELOPER = Caller("developer", frozenset(ROLES.values()))
"""Whoever calls over gRPC in development mode."""

_METRICS = Address("127.0.0.1", 9464)
"""If it is free, or any other port."""
_ANY_PORTS = "--http 127.0.0.1:0 --grpc 127.0.0.1:0 take any free ports"
_STORE = "sqlite:///var/dev.db"
"""Not the usual one: tokens that anybody could ask for here must count nowhere else."""
_ENDPOINT = {"id": ENDPOINT_ID, "provider": "SBC", "control_keys": [CONTROL_KEY], "currencies": ["EUR", "USD", "RUB"]}


def with_development_defaults(settings: ServiceSettings) -> ServiceSettings:
    """Return settings with an endpoint, a store and the pages, unless they say otherwise, and with reflection.

    Raises:
        ConfigurationError: they would let another host in.
    """
    for name, listener in {**settings.http.listeners(), "grpc": settings.grpc, **settings.listeners()}.items():
        if not listener.listen.is_loopback:
            raise ConfigurationError(f"{name}.listen: --dev listens on loopback only, not on {listener.listen}")
    endpoints = settings.endpoints or (EndpointSettings.model_validate(_ENDPOINT),)
    grpc, store = settings.grpc.model_copy(update={"reflection": True}), settings.store
    if "url" not in store.model_fields_set:
        store = store.model_copy(update={"url": _STORE})
    http = (
        settings.http if "docs" in settings.http.model_fields_set else settings.http.model_copy(update={"docs": True})
    )
    metrics = settings.metrics or ListenerSettings(listen=_METRICS)
    return settings.in_development(endpoints, grpc, store, http, metrics)


@contextmanager
def any_ports_named() -> Iterator[None]:
    """Name a way out where a port is taken: by a server of before, most often.

    Raises:
        ConfigurationError: a port can't be bound.
    """
    try:
        yield
    except ConfigurationError as error:
        if isinstance(error.__context__, OSError) and error.__context__.errno == errno.EADDRINUSE:
            raise ConfigurationError(f"{error}; {_ANY_PORTS}") from None
        raise


def pages_of(settings: ServiceSettings) -> Development | None:
    """Return what the pages have in development mode; None outside it.

    Args:
        settings: of the server.
    """
    return Development(_known_key(settings)) if settings.development else None


def _known_key(settings: ServiceSettings) -> str | None:
    """Return the control key where it is the one that everybody knows."""
    keys = [key.get_secret_value() for key in settings.endpoints[0].control_keys]
    return CONTROL_KEY if keys == [CONTROL_KEY] else None


def banner(settings: ServiceSettings, http: str | None, grpc: Address, sandbox: str | None, metrics: str) -> str:
    """Return what a newcomer reads first: where to find what, and a command to begin with.

    Args:
        settings: of the server.
        http: where the JSON gateway listens, if it does.
        grpc: where the gRPC port is.
        sandbox: where the sandbox payment gateway listens, if it does.
        metrics: where metrics are served.
    """
    endpoint = settings.endpoints[0]
    lines = [
        "Connecting Party's server, development mode: loopback only.",
        "",
        f"  JSON gateway  {f'http://{http}' if http else 'none (--no-http)'}",
        f"  gRPC          {grpc} (plaintext, with reflection)",
        f"  sandbox       {f'http://{sandbox}, a payment gateway to try with' if sandbox else 'none'}",
        f"  metrics       http://{metrics}/metrics",
        f"  endpoint id   {endpoint.id}",
        f"  control key   {_known_key(settings) or 'as configured'}",
        f"  data          {settings.store.place}",
    ]
    if http and settings.http.docs:
        lines.insert(3, f"  pages         http://{http}/docs")
    if http:
        lines += ["", "Initiate a sale:", "", _curl(f"http://{http}", min(endpoint.currencies)), ""]
    if http and sandbox:
        lines += ["Go through a whole one:", "", _simulate(f"http://{http}", f"http://{sandbox}"), ""]
    return "\n".join(lines)


def _simulate(server: str, gateway: str) -> str:
    program = Path(sys.argv[0]).with_name("sale-gateway")
    if program.is_relative_to(Path.cwd()):
        program = program.relative_to(Path.cwd())
    places = {"--server": (server, SERVER), "--gateway": (gateway, f"http://{SANDBOX}")}
    options = [f"{name} {place}" for name, (place, default) in places.items() if place != default]
    return " ".join([str(program), "simulate", *options])


def _curl(base: str, currency: str) -> str:
    token = f"'$(curl -s {base}/auth/request-access-token | cut -d '\"' -f 6)'"
    body: dict[str, Any] = {
        "consumer": {"device": {"serialNumber": "R58M123ABC"}},
        "session": {"accessToken": token},
        "transaction": {"amountCentis": 1042, "currency": currency},
    }
    text = json.dumps(body).replace(json.dumps(token), f'"{token}"')
    return f"curl -s {base}/sale/initiate-sale -H 'Content-Type: application/json' -d '{text}'"
