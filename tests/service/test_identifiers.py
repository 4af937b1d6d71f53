"""Identifiers have the forms that leave a signature only one reading."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from service.identifiers import (
    are_of_ours,
    from_microseconds,
    microseconds,
    new_access_token,
    new_invoice_id,
    new_nonce,
)

moments = st.datetimes(datetime(2020, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
source = st.binary(min_size=64, max_size=64)


@given(moments, source)
def test_an_invoice_id_is_a_uuid_of_version_7_that_ends_with_a_letter(now: datetime, random: bytes) -> None:
    invoice_id = new_invoice_id(now, lambda size: random[:size])

    assert str(UUID(invoice_id)) == invoice_id
    assert UUID(invoice_id).version == 7
    assert invoice_id[-1] in "abcdef"
    assert UUID(invoice_id).int >> 80 == microseconds(now) // 1000


@given(moments, st.integers(min_value=1000, max_value=10**9), source, source)
def test_invoice_ids_sort_by_their_time(now: datetime, later: int, one: bytes, other: bytes) -> None:
    first = new_invoice_id(now, lambda size: one[:size])
    second = new_invoice_id(now + timedelta(microseconds=later), lambda size: other[:size])

    assert first < second


@given(source)
def test_a_nonce_has_64_digits_and_begins_with_a_letter(random: bytes) -> None:
    assert re.fullmatch("[a-f][0-9a-f]{63}", new_nonce(lambda size: random[:size]))


@given(moments, source)
def test_what_is_made_here_is_known_again_and_nothing_that_has_lent_a_character(now: datetime, random: bytes) -> None:
    invoice_id, nonce = new_invoice_id(now, lambda size: random[:size]), new_nonce(lambda size: random[:size])

    assert are_of_ours(invoice_id, nonce)
    for other in (invoice_id + "1", invoice_id[:-1], invoice_id[:-1] + "1", nonce[-1] + invoice_id, invoice_id + "\n"):
        assert not are_of_ours(other, nonce)
    for other in (nonce + invoice_id[0], nonce[:-1], "1" + nonce, nonce[1:], "1" + nonce[1:], nonce + "\n"):
        assert not are_of_ours(invoice_id, other)


@given(source)
def test_an_access_token_is_256_bits_of_the_source(random: bytes) -> None:
    assert new_access_token(lambda size: random[:size]) == random[:32].hex()


@given(moments)
def test_moments_are_stored_exactly(moment: datetime) -> None:
    assert from_microseconds(microseconds(moment)) == moment
