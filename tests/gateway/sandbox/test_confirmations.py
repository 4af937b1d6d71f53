"""The sandbox charges the saved card that the answer of a check names, by the id or by the number."""

import pytest

from gateway.parties.exchanges import Document, NotUnderstood
from gateway.sandbox.cards import card_of_name
from gateway.sandbox.confirmations import saved_card

CARD = card_of_name("slow")


@pytest.mark.parametrize(
    "funds", [{"reference": {"serverCardId": CARD.server_card_id}}, {"card": {"number": CARD.number}}]
)
def test_a_saved_card_is_named_by_its_id_or_by_its_number(funds: Document) -> None:
    assert saved_card({"sourceOfFunds": funds}) is CARD


@pytest.mark.parametrize(
    "answer", [{}, {"sourceOfFunds": {"reference": {}}}, {"sourceOfFunds": {"card": {"number": 4}}}]
)
def test_a_saved_card_that_is_not_named_is_told(answer: Document) -> None:
    with pytest.raises(NotUnderstood, match=r"neither sourceOfFunds\.reference\.serverCardId nor"):
        saved_card(answer)
