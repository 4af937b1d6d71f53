"""The command of endpoints."""

import click
from connectingparty.sale.v1.endpoint_service_pb2 import Endpoint, ListEndpointsRequest

from service.program.printing import amount_text, enum_text, json_option, print_json, print_table
from service.program.remote import Remote, asks_server

_HEAD = ("endpoint", "provider", "currencies", "amounts", "random sum", "signatures", "default", "control keys")


@click.group()
def endpoints() -> None:
    """Look at the endpoints of a server that runs: needs the role reader."""


@endpoints.command("list")
@json_option
@asks_server
def list_endpoints(remote: Remote, as_json: bool) -> None:
    """List the endpoints that sales go to, as the server is configured now. No key is told."""
    found = remote.call("EndpointService.ListEndpoints", ListEndpointsRequest()).endpoints
    if as_json:
        for endpoint in found:
            print_json(endpoint)
    else:
        print_table(_HEAD, map(_row, found))


def _row(endpoint: Endpoint) -> tuple[str, ...]:
    return (
        endpoint.endpoint_id,
        endpoint.provider,
        " ".join(endpoint.currencies),
        _range(endpoint.amount_centis),
        _range(endpoint.random_sum_centis) if endpoint.HasField("random_sum_centis") else "",
        enum_text(Endpoint.SignatureCase, endpoint.signature_case).lower(),
        "yes" if endpoint.is_default else "",
        str(endpoint.control_key_count),
    )


def _range(centis: Endpoint.CentisRange) -> str:
    return f"{amount_text(centis.min, '')} to {amount_text(centis.max, '')}"
