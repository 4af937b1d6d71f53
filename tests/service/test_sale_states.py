"""Which moves of a sale are legal: one table, and the proto tells the same."""

import itertools
import re
from pathlib import Path

import pytest

from service.sale_states import FINAL, LEGAL_MOVES, SaleState, is_known, legal_moves_of, words_of

PROTO = Path(__file__).parents[2] / "proto/connectingparty/sale/v1/sale.proto"


def name(state: SaleState.ValueType) -> str:
    return SaleState.Name(state).removeprefix("SALE_STATE_")


def test_every_state_of_the_proto_has_its_row() -> None:
    assert set(LEGAL_MOVES) == set(SaleState.values()) - {SaleState.SALE_STATE_UNSPECIFIED}


def test_the_proto_tells_the_same_moves() -> None:
    told = {
        start: set(re.findall(r"[A-Z_]+", ends))
        for start, ends in re.findall(r"^//   ([A-Z_]+) +-> (.*)$", PROTO.read_text(), re.MULTILINE)
    }

    assert told == {name(start): {name(end) for end in ends} for start, ends in LEGAL_MOVES.items() if ends}
    assert {name(state) for state in LEGAL_MOVES} - {name(state) for state in FINAL} == {"INITIATED", "CHECKED"}


def test_every_result_has_the_words_that_lead_to_it() -> None:
    results = [state for state in FINAL if state != SaleState.SALE_STATE_EXPIRED]

    assert len({words_of(state) for state in results}) == len(results) == 6
    assert all(is_known(*words_of(state)) for state in results)
    for state in (SaleState.SALE_STATE_INITIATED, SaleState.SALE_STATE_CHECKED, SaleState.SALE_STATE_EXPIRED):
        with pytest.raises(LookupError):
            words_of(state)


def test_the_order_in_which_a_result_and_what_takes_it_back_arrive_does_not_matter() -> None:
    reports = [("sale", "approved"), ("reversal", "approved"), ("chargeback", "approved"), ("sale", "processing")]

    for order in itertools.permutations(reports):
        state, seen = SaleState.SALE_STATE_CHECKED, []
        for report in order:
            seen.append(report)
            for state in legal_moves_of(state, seen):  # noqa: B007, B020  # the last one is where it stands
                pass
        assert name(state) == "CHARGED_BACK"
