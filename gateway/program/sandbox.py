"""The command `sale-gateway sandbox`."""

import socket
from functools import partial

import click
import structlog

from gateway.parties.development import CONTROL_KEY, ENDPOINT_ID, SANDBOX, SERVER
from gateway.parties.signatures import notification_signature
from gateway.program.listening import bind, bound_address
from gateway.program.logs import configure_logs
from gateway.program.options import one_line_errors
from gateway.program.parameters import address, base_url, seconds
from gateway.program.process import run_server
from gateway.program.settings import ConfigurationError
from gateway.program.values import Address
from gateway.sandbox.callbacks import Schedule
from gateway.sandbox.cards import AMOUNTS, CARDS
from gateway.sandbox.server import SandboxServer

_log = structlog.stdlib.get_logger(__name__)


_duration = partial(click.option, type=seconds, metavar="DURATION", show_default=True)


@click.command()
@click.option("--target", type=base_url, metavar="URL", default=SERVER, show_default=True, help="Server to check at.")
@click.option("--endpoint", "endpoint_id", metavar="ID", default=ENDPOINT_ID, show_default=True, help="Its endpoint.")
@click.option(
    "--control-key",
    metavar="KEY",
    envvar="SALE_CONTROL_KEY",
    default=CONTROL_KEY,
    help="Control key of the endpoint, as the provider writes it. Better in SALE_CONTROL_KEY: other users see it in the"
    " list of processes.  [default: that of development mode]",
)
@click.option(
    "--listen", type=address, metavar="HOST:PORT", default=SANDBOX, show_default=True, help="Where; on loopback only."
)
@_duration("--http-timeout", default="20s", help="To wait for an answer.")
@_duration("--charge-delay", default="150ms", help="To charge a card.")
@_duration("--slow-delay", default="5s", help="Of the cards slow and late.")
@_duration("--retry-delay", default="500ms", help="Before a callback is sent again; doubled each time.")
@click.option("--retries", type=click.IntRange(0, 1000), default=30, show_default=True, help="Of a callback.")
@click.option("--cards", "prints_cards", is_flag=True, help="Print the test cards and amounts, and end.")
@one_line_errors
def sandbox(
    target: str,
    endpoint_id: str,
    control_key: str,
    listen: Address,
    http_timeout: float,
    charge_delay: float,
    slow_delay: float,
    retry_delay: float,
    retries: int,
    prints_cards: bool,
) -> None:
    """Play the payment gateway, to try with.

    It takes perform sale and sale status as the provider's Device API does, checks each sale at the server, tells it
    the id of the card, and calls back. What happens depends on the card; --cards prints which there are. There is no
    bank and no money.
    """
    if prints_cards:
        click.echo(cards_table())
        return
    _require_key(control_key)
    listener = bind_sandbox(listen, "--listen")
    schedule = Schedule(
        charge_seconds=charge_delay, slow_seconds=slow_delay, retry_seconds=retry_delay, retries=retries
    )
    configure_logs()

    async def create() -> SandboxServer:
        keys = {endpoint_id: [control_key]}
        return SandboxServer(listener, target, keys, schedule, timeout_seconds=http_timeout)

    run_server(create, lambda server: _tell(listener, target, endpoint_id))


def bind_sandbox(listen: Address, setting: str) -> socket.socket:
    """Bind the port of a sandbox.

    Args:
        listen: where.
        setting: name of the option, for the error.

    Raises:
        ConfigurationError: it can't be bound, or others would reach it.
    """
    if not listen.is_loopback:
        raise ConfigurationError(f"{setting}: the sandbox is for trying, on loopback only, not on {listen}")
    return bind(listen, setting)


def cards_table() -> str:
    """Return the test cards and amounts, for people."""
    lines = ["Card             Number               What happens", ""]
    for card in CARDS:
        number = " ".join(card.number[place : place + 4] for place in range(0, len(card.number), 4))
        lines.append(f"{card.name:<16} {number:<20} {card.does}")
    lines += ["", "Amount           What happens, whatever the card", ""]
    for centis, decline in AMOUNTS.items():
        lines.append(f"{centis / 100:<16.2f} {decline.status}: {decline.error_message.lower()}")
    lines += ["", "Any other card number with a right check digit is approved."]
    return "\n".join(lines)


def _require_key(control_key: str) -> None:
    try:
        notification_signature(control_key, nonce="", endpoint_id="", invoice_id="")
    except ValueError as error:
        raise ConfigurationError(f"--control-key: {error}") from None


def _tell(listener: socket.socket, target: str, endpoint_id: str) -> None:
    _log.info("serving", http=str(bound_address(listener)), target=target, endpoint_id=endpoint_id)
