"""The commands of saved cards."""

import click
from connectingparty.sale.v1.card_service_pb2 import Card, ListCardsRequest

from service.program.printing import json_option, print_json, print_table, time_text
from service.program.remote import Remote, asks_server
from service.program.request_options import field_options

_HEAD = ("saved", "client card id", "endpoint", "server card id", "bin", "last four", "email", "invoice id")
_GOES_FIRST = ("invoice id", "email", "server card id", "endpoint")


@click.group()
def cards() -> None:
    """Look at saved cards on a server that runs: needs the role cards."""


@cards.command("list")
@click.argument("consumer", required=False)
@field_options(ListCardsRequest, "consumer_id")
@json_option
@asks_server
def list_cards(remote: Remote, consumer: str | None, consumer_id: str | None, as_json: bool) -> None:
    """List the cards of the consumer CONSUMER, the latest first. No card number is told."""
    if consumer is None:
        consumer, consumer_id = consumer_id, None
    if consumer is None or consumer_id is not None:
        raise click.UsageError("the consumer: name one, as CONSUMER or by --consumer-id.")
    found: list[Card] = []
    request = ListCardsRequest(consumer_id=consumer, page_size=500)
    while True:
        page = remote.call("CardService.ListCards", request)
        found += page.cards
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    if as_json:
        for card in found:
            print_json(card)
    else:
        print_table(_HEAD, map(_row, found), _GOES_FIRST)


def _row(card: Card) -> tuple[str, ...]:
    kept = card.server_card_id or "in the vault"
    told = (card.endpoint_id, kept, card.bin, card.last_four, card.email, card.invoice_id)
    return (time_text(card.create_time), card.client_card_id, *told)
