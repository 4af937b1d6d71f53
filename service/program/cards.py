"""The commands of saved cards."""

import click
from connectingparty.sale.v1.card_service_pb2 import Card, ListCardsRequest

from service.program.printing import json_option, print_json, print_table, time_text
from service.program.remote import Remote, asks_server

_HEAD = ("saved", "client card id", "endpoint", "server card id", "bin", "last four", "email", "invoice id")


@click.group()
def cards() -> None:
    """Look at saved cards on a server that runs: needs the role cards."""


@cards.command("list")
@click.argument("consumer")
@json_option
@asks_server
def list_cards(remote: Remote, consumer: str, as_json: bool) -> None:
    """List the cards of the consumer CONSUMER, the latest first. No card number is told."""
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
        print_table(_HEAD, map(_row, found))


def _row(card: Card) -> tuple[str, ...]:
    kept = card.server_card_id or "in the vault"
    told = (card.endpoint_id, kept, card.bin, card.last_four, card.email, card.invoice_id)
    return (time_text(card.create_time), card.client_card_id, *told)
