"""The command `sale-gateway simulate`."""

import asyncio
from functools import partial
from typing import NamedTuple

import click

from gateway.parties.development import SANDBOX, SERVER
from gateway.program.parameters import base_url, seconds
from gateway.sandbox.cards import CARDS, Card, card_of_name, card_of_number
from gateway.simulation.figures import Figures
from gateway.simulation.reports import Report, report_of
from gateway.simulation.sales import Outcome, Pace, Simulation, Step, Terms

_NAMES = ", ".join(card.name for card in CARDS)
_NO_SUCH_SALE = "1104"
_duration = partial(click.option, type=seconds, metavar="DURATION", show_default=True)


def _card(text: str) -> Card:
    """Return the card of a name or a number."""
    if not text.replace(" ", "").isdecimal():
        try:
            return card_of_name(text)
        except LookupError:
            raise click.BadParameter(f"must be a card number or one of: {_NAMES}") from None
    try:
        return card_of_number(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


class _Run(NamedTuple):
    """What is asked for."""

    server: str
    gateway: str
    terms: Terms
    sales: int
    rate: float | None
    again: bool
    pace: Pace
    serial_number: str
    timeout_seconds: float


@click.command()
@click.option("--server", type=base_url, metavar="URL", default=SERVER, show_default=True, help="Your server.")
@click.option(
    "--gateway",
    type=base_url,
    metavar="URL",
    default=f"http://{SANDBOX}",
    show_default=True,
    help="Payment gateway: a sandbox, or the provider's.",
)
@click.option(
    "--card",
    type=_card,
    metavar="CARD",
    default="approved",
    show_default=True,
    help=f"A card number or one of: {_NAMES}.",
)
@click.option("--amount", type=click.IntRange(1), metavar="CENTIS", default=1042, show_default=True)
@click.option("--currency", metavar="CODE", default="EUR", show_default=True, help="ISO 4217 alpha code.")
@click.option("--reject", is_flag=True, help="Decline where a page asks to confirm (3-D Secure).")
@click.option("--again", is_flag=True, help="After an approved sale, a second one with the saved card.")
@click.option("--count", type=click.IntRange(1), default=1, show_default=True, help="How many sales.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Sales begun a second.  [default: in turn]")
@_duration("--interval", default="250ms", help="Between two questions for the status.")
@_duration("--patience", default="15s", help="For a sale to end.")
@_duration("--http-timeout", default="20s", help="To wait for an answer.")
@click.option("--serial-number", metavar="TEXT", default="SIMULATOR", show_default=True, help="Of the device.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: begin, step, sale, end.")
@click.option("--show-secrets", is_flag=True, help="Show tokens, nonces and signatures whole; card numbers never are.")
def simulate(
    server: str,
    gateway: str,
    card: Card,
    amount: int,
    currency: str,
    reject: bool,
    again: bool,
    count: int,
    rate: float | None,
    interval: float,
    patience: float,
    http_timeout: float,
    serial_number: str,
    as_json: bool,
    show_secrets: bool,
) -> None:
    """Go through whole sales as the consumer's app does.

    Access token, initiate sale, perform sale, sale status until the end, and the id of the saved card: each step with
    its request and answer. Exit code 0: all went as the card promises; 1: one did not; 2: a wrong option.
    """
    terms = Terms(card, amount, currency, confirms=not reject)
    pace = Pace(interval, patience)
    run = _Run(server, gateway, terms, count, rate, again, pace, serial_number, http_timeout)
    figures = asyncio.run(_simulate(run, report_of(as_json=as_json, shows_secrets=show_secrets)))
    for url in figures.unreachable:
        click.echo(f"Error: {_advice(run, url)}", err=True)
    if figures.refusals[_NO_SUCH_SALE]:
        click.echo(f"Hint: {_hint(run)}", err=True)
    if figures.faults:
        raise SystemExit(1)


async def _simulate(run: _Run, report: Report) -> Figures:
    figures = Figures()

    def observe(step: Step) -> None:
        figures.note_step(step)
        report.step(step)

    simulation = Simulation(run.server, run.gateway, run.serial_number, run.pace, observe, run.timeout_seconds)
    report.begin(run.terms, run.sales, again=run.again)

    async def one(number: int) -> None:
        first = await simulation.run(number, run.terms)
        _note(first)
        if run.again and first.client_card_id:
            _note(await simulation.run(number, run.terms, first))

    def _note(outcome: Outcome) -> None:
        figures.note_outcome(outcome)
        report.outcome(outcome)

    try:
        async with asyncio.TaskGroup() as running:
            for number in range(1, run.sales + 1):
                task = running.create_task(one(number))
                await (task if run.rate is None else asyncio.sleep(1 / run.rate))
    finally:
        await simulation.close()
    report.end(figures)
    return figures


def _hint(run: _Run) -> str:
    return (
        f"Is {run.gateway} the sandbox of {run.server}? A sandbox checks at its own --target; the banner of make serve"
        " names the right one for --gateway."
    )


def _advice(run: _Run, url: str) -> str:
    if url == run.server:
        return f"server not reachable at {url}: start it with `make serve`, or name it with --server"
    if url == run.gateway:
        return (
            f"payment gateway not reachable at {url}: `make serve` starts one and says where, or name it with --gateway"
        )
    return f"page not reachable at {url}"
