"""Where the life of a sale stands, and which moves are legal."""

from collections.abc import Iterable, Iterator

from connectingparty.sale.v1.sale_pb2 import SaleState

__all__ = [
    "FINAL",
    "LEGAL_MOVES",
    "SaleState",
    "has_got_to",
    "is_known",
    "is_state_of",
    "legal_moves_of",
    "state_name",
    "words_of",
]

_RESULTS = frozenset(
    {
        SaleState.SALE_STATE_APPROVED,
        SaleState.SALE_STATE_DECLINED,
        SaleState.SALE_STATE_FILTERED,
        SaleState.SALE_STATE_FAILED,
    }
)
LEGAL_MOVES: dict[SaleState.ValueType, frozenset[SaleState.ValueType]] = {
    SaleState.SALE_STATE_INITIATED: _RESULTS | {SaleState.SALE_STATE_CHECKED, SaleState.SALE_STATE_EXPIRED},
    SaleState.SALE_STATE_CHECKED: _RESULTS,
    SaleState.SALE_STATE_EXPIRED: _RESULTS,  # the payment gateway's word on money counts however late it comes
    SaleState.SALE_STATE_APPROVED: frozenset({SaleState.SALE_STATE_REVERSED, SaleState.SALE_STATE_CHARGED_BACK}),
    SaleState.SALE_STATE_REVERSED: frozenset({SaleState.SALE_STATE_CHARGED_BACK}),
    SaleState.SALE_STATE_CHARGED_BACK: frozenset(),
    SaleState.SALE_STATE_DECLINED: frozenset(),
    SaleState.SALE_STATE_FILTERED: frozenset(),
    SaleState.SALE_STATE_FAILED: frozenset(),
}
"""Every state that a sale can be in, and the states that it can move to from there."""

FINAL = frozenset(LEGAL_MOVES) - {SaleState.SALE_STATE_INITIATED, SaleState.SALE_STATE_CHECKED}
"""The states in which no check can be made any more."""

# The payment gateway's words: the type of a report, and its status.
_TARGETS = {
    ("sale", "approved"): SaleState.SALE_STATE_APPROVED,
    ("sale", "declined"): SaleState.SALE_STATE_DECLINED,
    ("sale", "filtered"): SaleState.SALE_STATE_FILTERED,
    ("sale", "error"): SaleState.SALE_STATE_FAILED,
    ("reversal", "approved"): SaleState.SALE_STATE_REVERSED,
    ("chargeback", "approved"): SaleState.SALE_STATE_CHARGED_BACK,
}
_SEQUENCE = ("sale", "reversal", "chargeback")
"""In which what the types report happens."""


def state_name(state: SaleState.ValueType) -> str:
    """Return the name of a state as people and the database know it: that of the proto, without the prefix."""
    return SaleState.Name(state).removeprefix("SALE_STATE_")


def is_known(type: str, status: str) -> bool:
    """Tell whether a report of this type and status tells how a sale ended."""
    return (type, status) in _TARGETS


def is_state_of(state: SaleState.ValueType, type: str, status: str) -> bool:
    """Tell whether a state is the one that a report of this type and status asks for."""
    return _TARGETS.get((type, status)) == state


def has_got_to(state: SaleState.ValueType, type: str, status: str) -> bool:
    """Tell whether a sale in this state is, or has been, in the one that a report of this type and status asks for."""
    target = _TARGETS.get((type, status))
    return target is not None and _leads_to(target, state)


def words_of(state: SaleState.ValueType) -> tuple[str, str]:
    """Return the type and status with which the payment gateway would report a state.

    Raises:
        LookupError: it reports no such state.
    """
    for words, target in _TARGETS.items():
        if target == state:
            return words
    raise LookupError(SaleState.Name(state))


def _leads_to(start: SaleState.ValueType, end: SaleState.ValueType) -> bool:
    return start == end or any(_leads_to(step, end) for step in LEGAL_MOVES[start])


def legal_moves_of(state: SaleState.ValueType, reported: Iterable[tuple[str, str]]) -> Iterator[SaleState.ValueType]:
    """Yield the states that a sale passes through by all that was reported of it.

    Reports can arrive in any order: a reversal that comes before the approval moves nothing until that has come.

    Args:
        state: where the sale stands.
        reported: type and status of every report, in the order of arrival.
    """
    known = [words for words in reported if is_known(*words)]
    for words in sorted(known, key=lambda words: _SEQUENCE.index(words[0])):
        target = _TARGETS[words]
        if target in LEGAL_MOVES[state]:
            state = target
            yield state
