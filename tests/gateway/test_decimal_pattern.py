"""Decimal strings between bounds, as a pattern."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.decimal_pattern import decimal_pattern

LEAST, GREATEST = -(2**63), 2**63 - 1
INTEGERS = st.integers(-(10**20), 10**20) | st.integers(-1200, 1200)


@given(st.just(1) | st.integers(-1000, 0) | st.just(LEAST), st.integers(1, 1000) | st.just(GREATEST), INTEGERS)
@example(LEAST, GREATEST, LEAST - 1)
@example(LEAST, GREATEST, LEAST)
@example(LEAST, GREATEST, GREATEST)
@example(LEAST, GREATEST, GREATEST + 1)
def test_an_integer_matches_if_it_is_within_the_bounds(least: int, greatest: int, integer: int) -> None:
    assert bool(re.search(decimal_pattern(least, greatest), str(integer))) is (least <= integer <= greatest)


@pytest.mark.parametrize("text", ["", "-", "+1", "01", "-01", "1.0", "1e2", " 1", "1 2"])
def test_what_is_no_decimal_integer_does_not_match(text: str) -> None:
    assert re.search(decimal_pattern(LEAST, GREATEST), text) is None


@pytest.mark.parametrize(("least", "greatest"), [(2, 10), (-10, 0), (3, 1)])
def test_bounds_that_it_has_no_pattern_for_are_told(least: int, greatest: int) -> None:
    with pytest.raises(ValueError, match=f"from {least} to {greatest}"):
        decimal_pattern(least, greatest)
