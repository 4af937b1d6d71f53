"""The table of test cards is sound, and each card is one that a card form takes."""

import pytest

from gateway.sandbox.cards import CARDS, Card, card_of_name, card_of_number, card_of_server_id


def test_every_name_number_and_id_is_there_once() -> None:
    for values in zip(*((card.name, card.number, card.server_card_id) for card in CARDS), strict=True):
        assert len(set(values)) == len(CARDS)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_a_card_is_found_by_its_number_its_name_and_the_id_that_it_was_given(card: Card) -> None:
    spaced = " ".join(card.number[place : place + 4] for place in range(0, 16, 4))

    assert card_of_number(spaced) is card
    assert card_of_name(card.name) is card
    assert card_of_server_id(card.server_card_id) is card


def test_ids_of_cards_are_those_of_yesterday() -> None:
    card = card_of_name("approved")

    assert card.server_card_id == "3304121923613282775"
    assert card.unique_reference_card_id != int(card.server_card_id)


@pytest.mark.parametrize("number", ["4444555566661112", "4444", "4" * 20, "٤444555566661111", "4444-5555", ""])
def test_what_is_no_card_number_is_refused(number: str) -> None:
    with pytest.raises(ValueError, match="must be 12 to 19 digits"):
        card_of_number(number)


def test_any_other_card_is_approved() -> None:
    assert card_of_number("4242 4242 4242 4242").promise == "APPROVED"
    assert card_of_server_id("1").promise == "APPROVED"
